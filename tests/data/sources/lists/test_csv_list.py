"""The parser of a user's own CSV lists."""

import pytest

from afn_jax.data.sources.lists.csv_list import read_csv, read_whole_csv
from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.lists.video_list import Entry


def paths(videos):
    return [entry.path for entry in videos.entries]


@pytest.mark.parametrize(
    "text",
    [
        "path,label,start,end\nd/a 1.mp4,Öffnen,1.5,2\nb.mp4,run,,\n",
        '\ufeffLabel;Start;End;Path\r\n Öffnen ;1.5;2;"d/a 1.mp4" \r\n\r\nrun;;;b.mp4\r\n',
        "d\\a 1.mp4\tÖffnen\t1.5\t2\nb.mp4\trun\t\t",
        # As other programs write it.
        "video,class,start_time,end_time\nd/a 1.mp4,Öffnen,1.5,2\nb.mp4,run,,\n",
        "# made by hand, twice\nFileName;Label Name;Start (s);End (s)\n".replace(" (s)", "-sec")
        + "d/a 1.mp4;Öffnen;1,5;2,0\n#b.mp4, and more\nb.mp4;run;;\n",
        "#video_path\tcategory\tbegin\tstop\n'd\\a 1.mp4'\tÖffnen\t1.5\t2\n\"b.mp4\"\trun\t\t\n",
        "d/a 1.mp4;Öffnen;1,5;2\nb.mp4;run;;\n",
        './d//a 1.mp4,Öffnen,1.5,2\n"b.mp4","run",,\n',
        "d/a 1.mp4,Öffnen,1.5,2,test\nb.mp4,run,,,TEST\nc.mp4,run,,,train\n",
        "sep=;\npath;label;start;end\nd/a 1.mp4;Öffnen;1,5;2\nb.mp4;run;;\n",
        '"sep=|"\r\nd/a 1.mp4|Öffnen|1.5|2\r\nb.mp4|run||\r\n',
        "path|label|start|end\nd/a 1.mp4|Öffnen|1.5|2\nb.mp4|run||\n",
        # An index of pandas, and trailing commas.
        ",path,label,start,end\n7,d/a 1.mp4,Öffnen,1.5,2\n3,b.mp4,run,,\n",
        "Unnamed: 0,path,label,start,end\n0,d/a 1.mp4,Öffnen,1.5,2\n1,b.mp4,run,,\n",
        "path,label,start,end,,\nd/a 1.mp4,Öffnen,1.5,2,,\nb.mp4,run,,,,\n",
        "path,label,start,end\nd/a 1.mp4,Öffnen,1.5,2,\nb.mp4,run,,,\n",
        "d/a 1.mp4,Öffnen,1.5,2,\nb.mp4,run,,,\n",
    ],
)
def test_csv(tmp_path, text):
    for name in ("train.csv", "val.csv"):
        (tmp_path / name).write_bytes(text.encode())
    videos = read_csv(tmp_path, "test", tmp_path, 1)
    assert videos.class_names == ("run", "Öffnen")
    assert videos.entries == (Entry("d/a 1.mp4", 1, 1.5, 2.0), Entry("b.mp4", 0))


def test_csv_with_paths_of_another_machine(tmp_path):
    root = tmp_path / "videos"
    names = [f"{name}/{i}.mp4" for name in ("fly", "run") for i in range(5)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    path = tmp_path / "list.csv"
    for prefix in ("", "/home/someone/videos/", "C:\\videos\\", f"{root}/"):
        rows = [f"{prefix}{name},{name[:3]},train" for name in names]
        path.write_text("\n".join(["path,label,split", *rows]))
        assert paths(read_csv(root, "train", path, 1)) == names
    # Which videos are for testing depends on the path in the list, as it always did.
    path.write_text("\n".join(f"{root}/{name},{name[:3]}" for name in names))
    listed = [f"{root}/{name}" for name in names]
    expected = [
        split_by_name([p for p in listed if f"/{c}/" in p], split="test") for c in ("fly", "run")
    ]
    assert [f"{root}/{p}" for p in paths(read_csv(root, "test", path, 1))] == [
        p for part in expected for p in part
    ]


def test_csv_reads_numbers_that_pandas_wrote_as_floats(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label,split\na.mp4,2.0,train\nb.mp4,0.0,train\nc.mp4,1,train\n")
    videos = read_csv(tmp_path, "train", path, 1)
    assert videos.class_names == ("0", "1", "2")
    assert [entry.label for entry in videos.entries] == [2, 0, 1]


def test_csv_names_swapped_columns_of_frame_folders(tmp_path):
    for name in ("Run/a", "Fly/b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
    path = tmp_path / "list.csv"
    path.write_text("Run,Run/a\nFly,Fly/b\n")
    with pytest.raises(ValueError, match="the second column is the path of a video"):
        read_csv(tmp_path / "videos", "train", path, 1)
    path.write_text(f"Run,{'x/' * 3000}\nFly,Fly/b\n")  # longer than any path may be
    assert len(read_csv(tmp_path / "videos", "train", path, 1).class_names) == 2


def test_csv_splits(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label,split\na.mp4,0,train\nb.mp4,2,Val\nc.mp4,0,test\n")
    assert [paths(read_csv(tmp_path, s, path, 1)) for s in ("train", "test")] == [
        ["a.mp4"],
        ["c.mp4"],
    ]
    assert read_csv(tmp_path, "train", path, 1).class_names == ("0", "1", "2")
    path.write_text("path,label,split\na.mp4,0,train\nb.mp4,1,Val\n")
    assert paths(read_csv(tmp_path, "test", path, 1)) == ["b.mp4"]
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.csv").write_text(f"{name}.mp4,x\n")
    path.unlink()
    assert paths(read_csv(tmp_path, "test", tmp_path, 1)) == ["test.mp4"]
    (tmp_path / "test.csv").unlink()
    assert paths(read_csv(tmp_path, "test", tmp_path, 1)) == ["val.mp4"]
    # Without a split column, the segments of a video stay together, and each split has all classes.
    rows = [f"{v}.mp4,{v % 2},{s},{s + 1}" for v in range(20) for s in range(3)]
    path.write_text("\n".join([*rows, "0.mp4,1,5,6"]))
    train, test = (read_csv(tmp_path, split, path, 1) for split in ("train", "test"))
    assert len(train.entries) + len(test.entries) == 61
    assert not set(paths(train)) & set(paths(test))
    assert {e.label for e in test.entries} == {0, 1} and len(set(paths(test))) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4,1\nb.mp4,2\n", "are 1 to 2; class numbers start at 0: subtract 1"),
        ("a.mp4,x,5,5\n", "line 1: the segment from 5 to 5; give its start"),
        ("path,label,start,end\na.mp4,x,1,2\nb.mp4,x,3,nan\n", "line 3: the segment from 3 to nan"),
        ("a.mp4,x,-1,2\n", "line 1: the segment from -1 to 2"),
        ("a.mp4,x,one,2\n", "line 1: start 'one', end '2'; give both in seconds"),
        ("a.mp4,x\nb, c.mp4,x\n", "line 2: got .* give 2 columns, path,label, and put quotes"),
        ("a.mp4,x\n,x\n", "line 2: got"),
        ("a.mp4,x\nb.mp4,\n", "line 2: the label is empty"),
        ("path,label,start\na.mp4,x,1\n", "the columns are path, label, start; use path and label"),
        ("path,label,youtube_id\na.mp4,x,1\n", "the columns are path, label, youtube_id"),
        ("path,label,split\na.mp4,x,training\n", "no row for the test split"),
        (
            "path,label,split\na.mp4,x,train\nb.mp4,x,tset\n",
            "line 3: the split is 'tset'",
        ),
        (
            "video;klasse\na.mp4;x\n",
            "columns are video, klasse; .* A path may also be called video",
        ),
        ("datei,klasse\na.mp4,x\nb.mp4,y\n", "columns are datei, klasse; use path and label"),
        ("path,label,class\na.mp4,0,x\n", "columns label and class are both a label; keep one"),
        ("video,label,start_frame,end_frame\na.mp4,x,1,9\n", "start_frame, end_frame; use path"),
        ("a.mp4 x\nb.mp4 y\n", "the first line, 'a.mp4 x', has no comma, semicolon, tab or \\|"),
        ("a.mp4;x\nb.mp4;x;3\n", r"line 2: got .*'3'\], 3 columns separated by semicolons; give 2"),
        ("a.mp4,Run\nb.mp4,Fly\nc.mp4,run \n", "line 3: the label 'run' differs from 'Run' in "),
        ("a.mp4,pour_it\nb.mp4,Pour it\n", "line 2: the label 'Pour it' differs from 'pour_it' in"),
        (
            'path,label\n"a.mp4,x\nb.mp4,y\n',
            "list.csv, line [123]: a quote in 'a.mp4,x' is not closed",
        ),
        ("a.mp4,x\n".encode("utf-16"), "list.csv: the text is UTF-16"),
        (b"a.mp4,x\nb\0.mp4,x\n", "list.csv: has null bytes"),
        ("split,rel,cls,group,bytes\n", "columns are split, rel, cls, group, bytes; use path"),
        ("\n \n", "no rows"),
        ("path,label\n", "list.csv: no rows below the names of the columns; add a row path,label"),
        ("path,label,fps\na.mp4,x,25\n", "list.csv: remove or rename 'fps': the columns are path"),
        ("path,label,start\na.mp4,x,1\n", "list.csv: there is no end: the columns are"),
        ("datei,label\na.mp4,x\n", "there is no column path; remove or rename 'datei'"),
        ("path,label,\na.mp4,x,7\nb.mp4,y,7\n", "list.csv: column 3 has no name"),
        ("Run,a.mp4\nFly,b.mp4\n", r"line 1: got \['Run', 'a.mp4'\], where the second .* first"),
        ("a.mp4,0\nb.mp4,1\nc.mp4,Walk\n", "line 1: the label '0' is a n.*'Walk' in .*line 3 is"),
        ("a.mp4,0.5\nb.mp4,1\n", "line 2: the label '1' is a number, but '0.5' in .*line 1"),
        ('[{"path": "a.mp4", "label": "x"}]', "list.csv: it is JSON, not CSV"),
        ('{"path": "a.mp4",\n"label": "x"}', "list.csv: it is JSON, not CSV"),
        ("sep=:\na.mp4:x\n", "line 1: the separator is ':'; allowed: ',', ';'"),
        ("größe.mp4,x\n".encode("latin-1"), "list.csv: byte 2 is not UTF-8"),
    ],
)
def test_rejects_wrong_csv(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path, "test", path, 1)


def test_csv_reads_names_of_any_bytes(tmp_path):
    """The engine writes the byte E9 as an escape, because the file is UTF-8."""
    (tmp_path / "test.csv").write_text("path,label\n\\udce9t\\udce9/caf\\udce9.avi,\\udce9\n")
    found = read_whole_csv(tmp_path, tmp_path / "test.csv")
    assert [entry.path for entry in found.entries] == ["\udce9t\udce9/caf\udce9.avi"]
    assert found.class_names == ("\udce9",)
    # Any other backslash separates folders, as on Windows.
    (tmp_path / "test.csv").write_text("path,label\nvideos\\udine\\udc12.avi,x\n")
    (entry,) = read_whole_csv(tmp_path, tmp_path / "test.csv").entries
    assert entry.path == "videos/udine/udc12.avi"


def test_csv_reads_the_suggestions_that_have_a_label(tmp_path):
    header = "path,label,start,end,guess,probability\n"
    rows = "a.mp4,walk,1.000,2.500,run,0.431\nb.mp4,,0.000,1.000,run,0.500\nc.mp4,run,,,jump,0.4\n"
    (tmp_path / "train.csv").write_text("path,label\nd.mp4,walk\ne.mp4,run\n")
    (tmp_path / "train-2.csv").write_text(header + rows)
    (tmp_path / "test.csv").write_text("f.mp4,run\n")
    videos = read_csv(tmp_path, "train", tmp_path, 1)
    assert videos.class_names == ("run", "walk")  # a guess is not a class
    assert set(videos.entries) == {
        Entry("d.mp4", 1),
        Entry("e.mp4", 0),
        Entry("a.mp4", 1, 1.0, 2.5),
        Entry("c.mp4", 0),
    }


@pytest.mark.parametrize(
    "rows, message",
    [
        ("a.mp4,,1,2,run,0.4\nb.mp4,,1,2,run,0.4\n", "none of the 2 suggestions has a label yet"),
        ("a.mp4,run,1,2,run,0.4\nb.mp4\n", "line 3: got .*1 columns"),
    ],
)
def test_csv_rejects_suggestions_without_labels(tmp_path, rows, message):
    path = tmp_path / "suggest.csv"
    path.write_text("path,label,start,end,guess,probability\n" + rows)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path, "train", path, 1)


def test_csv_rejects_an_empty_label_in_other_lists(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label\na.mp4,run\nb.mp4,\n")
    with pytest.raises(ValueError, match="line 3: the label is empty"):
        read_csv(tmp_path, "train", path, 1)
