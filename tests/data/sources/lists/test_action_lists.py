"""Parsers of official lists, on the real lists where available and on imitations of others."""

import json
from collections import Counter

import pytest

from afn_jax.data.sources.lists.activitynet import read_activitynet
from afn_jax.data.sources.lists.csv_list import read_csv
from afn_jax.data.sources.lists.hmdb51 import read_hmdb51
from afn_jax.data.sources.lists.kinetics import read_kinetics
from afn_jax.data.sources.lists.something_something import read_something_something
from afn_jax.data.sources.lists.thumos14 import read_thumos14
from afn_jax.data.sources.lists.ucf101 import read_ucf101
from afn_jax.data.sources.lists.video_list import Entry, choose_classes
from afn_jax.data.sources.video_files import VideoFiles

UCF101 = "lists_ucf101/ucfTrainTestlist"
HMDB51 = "lists_hmdb51/testTrainMulti_7030_splits"


def paths(videos):
    return [entry.path for entry in videos.entries]


@pytest.mark.parametrize(
    ("number", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_ucf101(shared_data, tmp_path, number, train, test):
    lists = [read_ucf101(tmp_path, s, shared_data / UCF101, number) for s in ("train", "test")]
    assert [len(part.entries) for part in lists] == [train, test]
    assert len(set(paths(lists[0]) + paths(lists[1]))) == 13320
    assert len(lists[0].class_names) == 101


@pytest.mark.parametrize("number", [1, 2, 3])
def test_hmdb51(shared_data, tmp_path, number):
    """70 and 30 videos of each of the 51 classes."""
    folder = shared_data / HMDB51
    train, test = (read_hmdb51(tmp_path, s, folder, number) for s in ("train", "test"))
    assert set(Counter(e.label for e in train.entries).values()) == {70}
    assert Counter(e.label for e in test.entries) == dict.fromkeys(range(51), 30)
    assert not set(paths(train)) & set(paths(test))
    listed = (folder / "class_list.txt").read_text().split()
    assert train.class_names == test.class_names == tuple(sorted(listed))
    assert all(e.path.startswith(train.class_names[e.label] + "/") for e in train.entries)
    assert not any(path.endswith(" ") for path in paths(train))


def test_real_videos_by_the_official_lists(shared_data, tmp_path):
    clips = shared_data / "single_clips"
    source = VideoFiles(
        clips / "UCF-101", read_ucf101(clips / "UCF-101", "test", shared_data / UCF101, 1)
    )
    assert [source.class_names[video.label] for video in source] == ["ApplyEyeMakeup", "Basketball"]
    assert len(source.skipped) == 3781
    train = read_ucf101(clips / "UCF-101", "train", shared_data / UCF101, 1)
    with pytest.raises(ValueError, match="only one of the 101 listed classes, 'SoccerJuggling'"):
        VideoFiles(clips / "UCF-101", train)
    with pytest.raises(ValueError, match="none of the 3783 test videos of .*testlist01.txt is und"):
        VideoFiles(clips / "kth", read_ucf101(clips, "test", shared_data / UCF101, 1))

    # HMDB51: one video without a class folder, one class folder.
    name = "Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
    (tmp_path / name).symlink_to(next((clips / "hmdb51_org" / "cartwheel").iterdir()))
    (tmp_path / "wave").symlink_to(clips / "hmdb51_org" / "wave")
    source = VideoFiles(tmp_path, read_hmdb51(tmp_path, "train", shared_data / HMDB51, 1))
    assert [(video.name, source.class_names[video.label]) for video in source] == [
        (name, "cartwheel"),
        ("wave/RATRACE_wave_f_nm_np1_fr_goo_37.avi", "wave"),
    ]


def test_rejects_wrong_hmdb51_lists(tmp_path, shared_data):
    with pytest.raises(ValueError, match="no .*_test_split1.txt in .*testTrainMulti_7030_splits"):
        read_hmdb51(tmp_path, "train", None, 1)
    with pytest.raises(ValueError, match="no .*_test_split4.txt"):
        read_hmdb51(tmp_path, "train", shared_data / HMDB51, 4)
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for path in (shared_data / HMDB51).glob("*_test_split1.txt"):
        (lists / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_hmdb51(tmp_path, "test", None, 1).entries) == 1530
    (lists / "wave_test_split1.txt").write_text("a clip.avi 1\nno number\n")
    with pytest.raises(ValueError, match="wave_test_split1.txt, line 2: got 'no number'"):
        read_hmdb51(tmp_path, "train", None, 1)
    (lists / "wave_test_split1.txt").unlink()
    with pytest.raises(ValueError, match="50 files .* but HMDB51 has 51 classes"):
        read_hmdb51(tmp_path, "train", None, 1)


def write_kinetics(folder, header="label,youtube_id,time_start,time_end,split,is_cc"):
    rows = {
        "train": [
            '"massaging person\'s head",--abc_DEF12,0,10,train,0',
            "abseiling,b,7,17,train,1",
        ],
        "validate": ["abseiling,c,1205,1215,validate,0", "zumba,d,3,13,validate,0"],
    }
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_bytes("\r\n".join([header, *lines, ""]).encode())


def test_kinetics(tmp_path):
    write_kinetics(tmp_path)
    train, test = (read_kinetics(tmp_path, split, None, 1) for split in ("train", "test"))
    assert (
        train.class_names == test.class_names == ("abseiling", "massaging person's head", "zumba")
    )
    assert train.entries == (
        Entry(
            "massaging person's head/--abc_DEF12_000000_000010.mp4", 1, also=("--abc_DEF12.mp4",)
        ),
        Entry("abseiling/b_000007_000017.mp4", 0, also=("b.mp4",)),
    )
    assert paths(test) == ["abseiling/c_001205_001215.mp4", "zumba/d_000003_000013.mp4"]
    with pytest.raises(ValueError, match="no row of the split val .* only .'train'"):
        read_kinetics(tmp_path, "test", tmp_path / "train.csv", 1)
    write_kinetics(tmp_path, header="youtube_id,time_start,time_end,split,is_cc,more")
    with pytest.raises(ValueError, match="the lists of Kinetics have label, youtube_id"):
        read_kinetics(tmp_path, "train", None, 1)


def test_selects_and_renumbers_classes(tmp_path):
    """Mini-Kinetics: labels are numbered anew, in the order of the list."""
    write_kinetics(tmp_path)
    videos = read_kinetics(tmp_path, "test", None, 1)
    (tmp_path / "mini.txt").write_bytes(b"\xef\xbb\xbfzumba\r\nAbseiling \r\n")
    for classes in (("zumba", "abseiling"), (str(tmp_path / "mini.txt"),)):
        chosen = choose_classes(videos, classes)
        assert chosen.class_names == ("zumba", "abseiling")
        assert [(e.path[:5], e.label) for e in chosen.entries] == [("absei", 1), ("zumba", 0)]
    only = choose_classes(videos, ("massaging_person's_head", "zumba"))
    assert [e.label for e in only.entries] == [1]
    with pytest.raises(ValueError, match="'abseil' is not one of the .* Did you mean abseiling"):
        choose_classes(videos, ("abseil",))
    with pytest.raises(ValueError, match="'Zumba' is listed twice"):
        choose_classes(videos, ("zumba", "Zumba"))


def write_something(folder, prefix="something-something-v2-"):
    folder.mkdir(exist_ok=True)
    item = {"label": "holding a cup", "placeholders": ["a cup"]}
    content = {
        "labels": {"Holding something next to something": "1", "Folding something": "0"},
        "train": [item | {"id": "78687", "template": "Holding [something] next to [something]"}],
        "validation": [item | {"id": 12, "template": "Folding [something]"}],
        "test": [{"id": "9"}],
    }
    for name, value in content.items():
        (folder / f"{prefix}{name}.json").write_text(json.dumps(value))


@pytest.mark.parametrize("prefix", ["something-something-v2-", ""])
def test_something_something(tmp_path, prefix):
    write_something(tmp_path / "labels", prefix)
    train, test = (
        read_something_something(tmp_path, split, None, 1) for split in ("train", "test")
    )
    assert train.class_names == ("Folding something", "Holding something next to something")
    assert (train.entries, test.entries) == ((Entry("78687.webm", 1),), (Entry("12.webm", 0),))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", '[{"id": "9"}]', "item 0: got {'id': '9'}; Something-Something has a list of"),
        ("train", '{"database": {}}', "holds a dict; Something-Something has a list of"),
        ("train", '[{"id": "1", "tem', "not JSON .*is the download complete"),
        ("train", '[{"id": "1", "template": "Flying"}]', "'Flying' is not in .*labels.json"),
        ("labels", '{"Folding something": "1"}', "numbers 0, 1, ... once each"),
    ],
)
def test_rejects_wrong_something_something_files(tmp_path, name, text, message):
    write_something(tmp_path)
    (tmp_path / f"something-something-v2-{name}.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_something_something(tmp_path, "train", tmp_path, 1)


def test_activitynet(tmp_path):
    def video(subset, *segments):
        annotations = [{"segment": [start, end], "label": name} for start, end, name in segments]
        return {"subset": subset, "annotations": annotations, "duration": 60.0}

    database = {
        "5n7NCViB5TU": video(
            "training", (24.25, 38.08, "Discus throw"), (97.54, 111.83, "Archery")
        ),
        "_x": video("validation", (0, 5, "Archery")),
        "secret": video("testing"),
    }
    path = tmp_path / "activity_net.v1-2.min.json"
    path.write_text(json.dumps({"database": database, "taxonomy": [], "version": "VERSION 1.2"}))
    train, test = (read_activitynet(tmp_path, split, None, 1) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("Archery", "Discus throw")
    assert train.entries == (
        Entry("v_5n7NCViB5TU.mp4", 1, 24.25, 38.08, also=("5n7NCViB5TU.mp4",)),
        Entry("v_5n7NCViB5TU.mp4", 0, 97.54, 111.83, also=("5n7NCViB5TU.mp4",)),
    )
    assert test.entries == (Entry("v__x.mp4", 0, 0.0, 5.0, also=("_x.mp4",)),)
    (tmp_path / "activity_net.v1-3.min.json").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="found .*v1-2.min.json, .*v1-3.min.json; give one"):
        read_activitynet(tmp_path, "train", None, 1)
    path.write_text('[{"id": "1", "template": "x"}]')
    with pytest.raises(ValueError, match="not a file of ActivityNet"):
        read_activitynet(tmp_path, "train", path, 1)


def test_thumos14(tmp_path):
    for folder, name, text in [
        (
            "val",
            "Diving_val",
            "video_validation_0000051  67.5 75.9 \r\nvideo_validation_0000051 1 2",
        ),
        ("val", "CliffDiving_val", "video_validation_0000051  67.5 75.9\n"),
        ("val", "Ambiguous_val", "video_validation_0000051  30 31\n"),
        ("test", "Diving_test", "video_test_0000004  0.2 1.1\n"),
    ]:
        (tmp_path / "annotations" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "annotations" / folder / f"{name}.txt").write_text(text)
    train, test = (read_thumos14(tmp_path, split, None, 1) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("CliffDiving", "Diving")
    name = "video_validation_0000051.mp4"
    assert set(train.entries) == {
        Entry(name, 0, 67.5, 75.9),
        Entry(name, 1, 67.5, 75.9),
        Entry(name, 1, 1, 2),
    }
    assert test.entries == (Entry("video_test_0000004.mp4", 1, 0.2, 1.1),)
    with pytest.raises(ValueError, match=r"no \*_test.txt among 3 files"):
        read_thumos14(tmp_path, "test", tmp_path / "annotations" / "val", 1)
    (tmp_path / "annotations" / "val" / "Diving_val.txt").write_text("v_Diving_g01.avi 1\n")
    with pytest.raises(ValueError, match="Diving_val.txt, line 1: got 'v_Diving_g01.avi 1'"):
        read_thumos14(tmp_path, "train", None, 1)


@pytest.mark.parametrize(
    "text",
    [
        "path,label,start,end\nd/a 1.mp4,Öffnen,1.5,2\nb.mp4,run,,\n",
        '\ufeffLabel;Start;End;Path\r\n Öffnen ;1.5;2;"d/a 1.mp4" \r\n\r\nrun;;;b.mp4\r\n',
        "d\\a 1.mp4\tÖffnen\t1.5\t2\nb.mp4\trun\t\t",
    ],
)
def test_csv(tmp_path, text):
    for name in ("train.csv", "val.csv"):
        (tmp_path / name).write_bytes(text.encode())
    videos = read_csv(tmp_path, "test", tmp_path, 1)
    assert videos.class_names == ("run", "Öffnen")
    assert videos.entries == (Entry("d/a 1.mp4", 1, 1.5, 2.0), Entry("b.mp4", 0))


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
        ("split,rel,cls,group,bytes\n", "columns are split, rel, cls, group, bytes; use path"),
        ("\n \n", "no rows"),
        ("größe.mp4,x\n".encode("latin-1"), "list.csv: byte 2 is not UTF-8"),
    ],
)
def test_rejects_wrong_csv(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path, "test", path, 1)


@pytest.mark.parametrize(
    "read",
    [read_ucf101, read_hmdb51, read_kinetics, read_something_something, read_activitynet]
    + [read_thumos14, read_csv],
)
def test_rejects_missing_lists(tmp_path, read):
    root = tmp_path / "a" / "b"
    root.mkdir(parents=True)
    with pytest.raises(ValueError, match="data.annotations: no .*--data.annotations"):
        read(root, "train", None, 1)
    with pytest.raises(ValueError, match="nowhere"):
        read(root, "train", tmp_path / "nowhere", 1)


def test_rejects_ucf101_lists_of_other_data(tmp_path):
    (tmp_path / "classInd.txt").write_text("1 a\n2 b\n")
    (tmp_path / "trainlist01.txt").write_text("a/x.avi 1\n")
    with pytest.raises(ValueError, match="2 classes, but UCF101 has 101; .* --data video-folder"):
        read_ucf101(tmp_path, "train", None, 1)
