"""Parsers of official lists, on the real lists where available and on imitations of others."""

import json
import re
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
    wave = [entry.path for entry in read_hmdb51(tmp_path, "test", None, 1).entries][-30:]
    text = (lists / "wave_test_split1.txt").read_text()
    for old, new in ((" 2", "\t2"), (" 2", ",2"), (" 2", "   2"), (" 2", ";2")):
        (lists / "wave_test_split1.txt").write_text(text.replace(old, new))
        entries = read_hmdb51(tmp_path, "test", None, 1).entries
        assert [entry.path for entry in entries][-30:] == wave
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
    with pytest.raises(ValueError, match="data.classes: 'zumba' is chosen; name two or more of"):
        choose_classes(videos, ("zumba",))


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
        ("train", '[{"id": null, "template": "Folding something"}]', "item 0: got {'id': None"),
        ("train", '[{"id": 1, "template": null}]', "item 0: got {'id': 1, 'template': None}"),
        ("train", '["1"]', "item 0: got 1; Something-Something has a list of"),
        ("train", "null", "holds a NoneType; Something-Something has a list of"),
        ("labels", '{"Folding something": null}', "numbers 0, 1, ... once each"),
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


@pytest.mark.parametrize(
    "about, message",
    [
        ({"subset": "training"}, "at the video 'bad': KeyError: 'annotations'"),
        ({"subset": None, "annotations": []}, "at the video 'bad': TypeError: the subset is None"),
        ({"subset": "training", "annotations": None}, "at the video 'bad': TypeError"),
        (None, "at the video 'bad': TypeError"),
        ({"segment": [1, 2], "label": None}, "the label is None"),
        ({"segment": [1, 2], "label": " "}, "the label is ' '"),
        ({"segment": [1, 2]}, "KeyError: 'label'"),
        ({"segment": [1], "label": "x"}, "at the video 'bad': ValueError"),
        ({"segment": [1, 2, 3], "label": "x"}, "at the video 'bad': ValueError"),
        ({"segment": [1, float("nan")], "label": "x"}, r"the segment is \[1, nan\]"),
        ({"segment": ["1", "soon"], "label": "x"}, "could not convert .* 'soon'"),
        ({"segment": None, "label": "x"}, "at the video 'bad': TypeError"),
    ],
)
def test_names_the_video_that_activitynet_lists_wrongly(tmp_path, about, message):
    good = {"subset": "training", "annotations": [{"segment": [1, 2], "label": "x"}]}
    bad = {"subset": "training", "annotations": [about]} if "label" in str(about) else about
    bad = {"subset": "training", "annotations": [about]} if "segment" in str(about) else bad
    path = tmp_path / "activity_net.v1-2.min.json"
    path.write_text(json.dumps({"database": {"good": good, "bad": bad}}))
    with pytest.raises(ValueError, match=f"activity_net.*: not a file of .*{message}"):
        read_activitynet(tmp_path, "train", None, 1)


@pytest.mark.parametrize(
    "row",
    [
        "abseiling,b,7,17",
        "abseiling,b,,17,train,1",
        ",b,7,17,train,1",
        "abseiling,,7,17,train,1",
        "making tea, herbal,b,7,17,train,1",
        '"abseiling,b,7,17,train,1\nzumba,d,3,13,train,0',
    ],
)
def test_names_the_wrong_line_of_a_kinetics_list(tmp_path, row):
    write_kinetics(tmp_path)
    path = tmp_path / "train.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(ValueError, match="train.csv, line [45]: got .*each row must have label"):
        read_kinetics(tmp_path, "train", None, 1)


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
    wrong = tmp_path / "annotations" / "val" / "Diving_val.txt"
    wrong.write_text("video_validation_0000051, 67.5, 75.9\nvideo_validation_0000051 1.2.3 4\n")
    with pytest.raises(ValueError, match="Diving_val.txt, line 2: got .* 1.2.3 4"):
        read_thumos14(tmp_path, "train", None, 1)
    wrong.write_text("v_Diving_g01.avi 1\n")
    with pytest.raises(ValueError, match="Diving_val.txt, line 1: got 'v_Diving_g01.avi 1'"):
        read_thumos14(tmp_path, "train", None, 1)


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


def test_names_the_folder_of_a_single_list(tmp_path):
    tmp_path = tmp_path / "a" / "b"  # lists beside the folders of other tests would be found
    tmp_path.mkdir(parents=True)
    for name in ("trainlist01.txt", "brush_hair_test_split1.txt", "my.csv"):
        (tmp_path / name).write_text("a/x.avi 1\n")
    folder = re.escape(repr(str(tmp_path)))
    with pytest.raises(ValueError, match=f"trainlist01.txt' is a file; give the fold.* {folder}$"):
        read_ucf101(tmp_path, "train", tmp_path / "trainlist01.txt", 1)
    with pytest.raises(ValueError, match="my.csv' is a file; .*for a CSV list use --data csv"):
        read_ucf101(tmp_path, "train", tmp_path / "my.csv", 1)
    with pytest.raises(ValueError, match=f"split1.txt' is a file; give its folder, {folder}"):
        read_hmdb51(tmp_path, "train", tmp_path / "brush_hair_test_split1.txt", 1)
    with pytest.raises(ValueError, match="there is no '.*nowhere'; give the folder of classInd"):
        read_ucf101(tmp_path, "train", tmp_path / "nowhere", 1)
