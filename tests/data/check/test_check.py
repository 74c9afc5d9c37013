"""The doctor reports no problem of sound data and names each planted fault."""

import os
import shutil

import numpy as np
import pytest

from afn_jax.data.check.__main__ import main
from afn_jax.data.check.dataset import Dataset, Inspected, Listed
from afn_jax.data.check.doctor import diagnose, label_base
from afn_jax.data.check.listing import list_dataset
from afn_jax.data.check.same_videos import group_of
from afn_jax.data.files.flow import write_flo
from tests.data.videos import encode, moving_picture

TRAIN = [f"{c}/v_{c}_g0{g}_c01.avi" for c in ("Jump", "Run") for g in (2, 3)]
TEST = [f"{c}/v_{c}_g01_c01.avi" for c in ("Jump", "Run")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound dataset with lists like those of UCF101; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("sound")
    for number, name in enumerate(TRAIN + TEST):
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, "mpeg4", np.roll(moving_picture(8), 5 * number, 2))
    (folder / "lists").mkdir()
    (folder / "lists/classInd.txt").write_text("1 Jump\n2 Run\n")
    (folder / "lists/trainlist01.txt").write_text("".join(f"{n} {1 + ('R' in n)}\n" for n in TRAIN))
    (folder / "lists/testlist01.txt").write_text("".join(f"{n}\n" for n in TEST))
    return folder


@pytest.fixture
def data(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "data")


def check(root, capsys, *arguments):
    """Returns the exit code and the output."""
    capsys.readouterr()
    code = main([str(root), "--num-frames", "4", "--threads", "2", *arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_reports_no_problem_of_an_intact_dataset(data, capsys):
    code, text = check(data / "videos", capsys)
    assert code == 0 and "no harmful problems found" in text and "2 classes: Jump, Run" in text
    assert "HARM" not in text and "note" not in text
    for row in ("listed", "on disk", "readable", "as long as a clip"):
        assert f"{row:<20} {4:>8} {2:>8}" in text
    shutil.rmtree(data / "lists")  # now split by name, with the same numbers of videos
    code, text = check(data / "videos", capsys)
    assert code == 0 and f"{'readable':<20} {4:>8} {2:>8}" in text


A, B = TRAIN[0], TRAIN[1]
HARM = {
    "empty": (lambda d: (d / "videos" / A).write_bytes(b""), f"{A}: an empty file"),
    "text": (lambda d: (d / "videos" / A).write_text("404 not found"), f"{A}: Invalid data"),
    "missing": (lambda d: (d / "videos" / A).unlink(), f"missing on disk\n             {A}\n"),
    "missing class": (lambda d: shutil.rmtree(d / "videos/Run"), "all 3 videos of Run"),
    "no test video": (lambda d: (d / "videos" / TEST[0]).write_bytes(b""), "Jump: none in test"),
    "copy in test": (
        lambda d: shutil.copy(d / "videos" / A, d / "videos" / TEST[0]),
        f"{A} (training) = {TEST[0]} (test)",
    ),
    "two labels": (
        lambda d: shutil.copy(d / "videos" / A, d / "videos" / TRAIN[2]),
        f"{A} as Jump, {TRAIN[2]} as Run",
    ),
    "in both lists": (
        lambda d: edit(d / "lists/testlist01.txt", TEST[0], A),
        f"in both the training and the test list\n             {A}\n",
    ),
    "leaking group": (
        lambda d: [
            shutil.copy(d / "videos" / TEST[1], d / "videos/Run/v_Run_g02_c02.avi"),
            edit(d / "lists/testlist01.txt", TEST[1], "Run/v_Run_g02_c02.avi"),
        ],
        "Run/g02: 1 training, 1 test",
    ),
    "counted from 0": (
        lambda d: [
            edit(d / "lists/trainlist01.txt", ".avi 1", ".avi 0"),
            edit(d / "lists/trainlist01.txt", ".avi 2", ".avi 1"),
        ],
        "are numbered from 0; such lists number them from 1",
    ),
    "broken list": (lambda d: edit(d / "lists/classInd.txt", "2 Run", "Run"), "line 2: got 'Run'"),
    "no test list": (lambda d: (d / "lists/testlist01.txt").unlink(), "no testlist01.txt"),
}
NOTES = {
    "short": (
        lambda d: encode(d / "videos" / A, "mpeg4", moving_picture(3)),
        f"shorter than a clip of 4 frames; repeated to fill it\n             {A}: 3",
    ),
    "copy in train": (lambda d: shutil.copy(d / "videos" / A, d / "videos" / B), f"{A} = {B}"),
    "listed twice": (
        lambda d: edit(d / "lists/trainlist01.txt", f"{B} 1", f"{A} 1"),
        "",
    ),
    "unlisted": (
        lambda d: encode(d / "videos/Run/new.avi", "mpeg4", moving_picture(5)),
        "but in no list\n             Run/new.avi",
    ),
}


@pytest.mark.parametrize("fault", [*HARM, *NOTES])
def test_reports_each_planted_fault(data, capsys, fault):
    do, expected = (HARM | NOTES)[fault]
    do(data)
    code, text = check(data / "videos", capsys)
    assert code == (fault in HARM), text
    assert expected in text and ("no harmful problems found" in text) == (fault in NOTES)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_runs_that_share_the_files_report_the_same(data, tmp_path, capsys, order):
    """With a damaged file and a copy, which is in the share of another run."""
    videos = sorted(data.rglob("*.avi"))
    videos[0].write_bytes(videos[0].read_bytes()[:-2000])
    videos[2].write_bytes(videos[1].read_bytes())
    code, whole = check(data / "videos", capsys)
    parts = tmp_path / "parts"
    for index in order:
        options = ("--num-processes", "3", "--process-id", str(index), "--parts", str(parts))
        options += ("--distributed", "host:1", "--distributed-timeout", "9")
        last, text = check(data / "videos", capsys, *options)
        if index != order[-1]:
            assert last == 0 and "files; the last run prints the report" in text
    assert code == last == 1 and text == whole
    assert list(parts.iterdir()) == []

    assert check(data / "videos", capsys, "--shard", "1/2", "--parts", str(parts))[0] == 0
    options = ("--shard", "2/2", "--no-decode", "--parts", str(parts))
    assert main([str(data / "videos"), "--num-frames", "4", *options]) == 2
    assert "check-1-of-2.json is of other files or of other" in capsys.readouterr().err

    # So is a result that was left before a file was repaired.
    os.utime(videos[0], (1, 1))
    assert main([str(data / "videos"), "--num-frames", "4", *options[:2], *options[3:]]) == 2
    assert "check-1-of-2.json is of other files" in capsys.readouterr().err
    assert main([str(data / "videos"), "--shard", "1/2"]) == 2
    assert "give a folder that all runs share with --parts" in capsys.readouterr().err


def test_reports_a_truncated_video(data, capsys):
    path = data / "videos" / A
    whole = encode(path, "mpeg4", moving_picture(200)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    code, text = check(data / "videos", capsys)
    assert f"{A}: its header promises 200 frames, " in text


@pytest.fixture(params=["ucf101", "hmdb51"])
def official(request, shared_data, tmp_path_factory):
    """Returns (name, root, lists) of a public dataset whose files all exist but are empty."""
    name = request.param
    (lists,) = (path for path in (shared_data / f"lists_{name}").iterdir() if path.is_dir())
    root = tmp_path_factory.getbasetemp() / f"official {name}"
    if root.exists():  # made for a different one of the three splits
        return name, root, lists
    for path in lists.glob("*list01.txt" if name == "ucf101" else "*_split1.txt"):
        folder = "" if name == "ucf101" else path.name.partition("_test_split")[0]
        for line in path.read_text().splitlines():
            video = root / folder / line.split()[0]
            video.parent.mkdir(parents=True, exist_ok=True)
            video.touch()
    return name, root, lists


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3])
def test_reports_no_list_problem_of_official_lists(official, capsys, number):
    """Counts and groups must be right, and the empty files the only problem."""
    name, root, lists = official
    code, text = check(
        *(root, capsys, "--source", name, "--annotations", str(lists)),
        *("--list-number", str(number)),
    )
    right = {"ucf101": [(9537, 3783), (9586, 3734), (9624, 3696)], "hmdb51": [(3570, 1530)] * 3}
    train, test = right[name][number - 1]
    for row in (f"official {name.upper()}", "listed", "on disk"):
        assert f"{row:<20} {train:>8} {test:>8}\n" in text
    assert f"{'readable':<20} {0:>8} {0:>8}\n" in text
    assert code == 1 and text.count("HARM") == 2  # all videos are empty, so all classes are
    assert f"HARM {train + test:>6}  cannot be read to the end" in text


def test_reports_a_class_folder_without_videos(data, capsys):
    (data / "videos" / "Swim").mkdir()
    (data / "videos" / "Swim" / "a.xyz").write_bytes(b"x")
    shutil.rmtree(data / "lists")
    code, text = check(data / "videos", capsys)
    assert code != 0 and "left out" in text and "it holds Swim/a.xyz, but no video" in text


def test_recognizes_ucf101_without_class_folders(tmp_path):
    names = [f"Class{i}" for i in range(1, 102)]
    (tmp_path / "classInd.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(names, 1)))
    (tmp_path / "trainlist01.txt").write_text("Class1/v_a_g01_c01.avi 1\n")
    (tmp_path / "testlist01.txt").write_text("Class2/v_b_g01_c01.avi\n")
    (tmp_path / "videos").mkdir()
    for name in ("v_a_g01_c01", "v_b_g01_c01"):
        encode(tmp_path / "videos" / f"{name}.avi", "mpeg4", moving_picture(8))
    dataset, _ = list_dataset(tmp_path / "videos")
    assert [video.name for video in dataset.videos] == ["v_a_g01_c01.avi", "v_b_g01_c01.avi"]


def test_reports_a_wrong_number_of_official_videos():
    names = ("ApplyEyeMakeup", *(f"class {i}" for i in range(100)))
    findings = diagnose(Dataset("", names, (), 2), {}, 16)
    items = [item for finding in findings for item in finding.items]
    assert "train: 0 listed, official UCF101 split 2 has 9586" in items


def test_reports_similar_class_names_and_segments_in_both_splits():
    videos = [Listed("train", "a.mp4", 0, "#t=0,2"), Listed("test", "a.mp4", 0, "#t=3,5")]
    files = {"a.mp4": Inspected(num_frames=90)}
    found = diagnose(Dataset("", ("Long Jump", "long_jump"), tuple(videos)), files, 16)
    items = {item for finding in found if finding.harmful for item in finding.items}
    assert "'Long Jump' and 'long_jump'" in items and "a.mp4: 1 training, 1 test" in items


def test_finds_groups_and_the_number_of_the_first_class():
    assert group_of("Run/v_Run_g07_c01.avi") == group_of("Run/v_Run_g07_c12.mp4") == "Run/g07"
    film = group_of("wave/TrumanShow_wave_f_nm_np1_fr_med_26.avi")
    assert film == group_of("wave/TrumanShow_wave_u_cm_np2_ba_bad_3.avi")
    assert group_of("Run/clip 7.avi") is None
    assert [label_base(pairs) for pairs in ([(1, 0), (2, 1)], [(0, 0)], [(1, 0), (1, 1)], [])] == [
        *(1, 0),
        *(None, None),
    ]


@pytest.mark.parametrize(
    "labels, code, expected",
    [
        (["Jump", "Run"], 0, "no harmful problems found"),
        ([0, 1], 0, "2 classes: 0, 1"),
        ([1, 2], 1, "class numbers start at 0: subtract 1"),
    ],
)
def test_csv(data, capsys, labels, code, expected):
    rows = [
        f"{name},{labels[name.startswith('Run')]},{split}"
        for split, names in (("train", TRAIN), ("test", TEST))
        for name in names
    ]
    table = data / "all.csv"
    table.write_text("path,label,split\n" + "\n".join(rows))
    found, text = check(data / "videos", capsys, "--annotations", str(table))
    assert found == code and expected in text


def test_csv_of_a_header_alone_lists_nothing(data, capsys):
    (data / "my.csv").write_text("path,label\n")
    code, text = check(data / "videos", capsys, "--annotations", str(data / "my.csv"))
    assert code == 1 and "no rows below the names of the columns" in text
    assert f"{'.avi':<20} {6:>8}  in no list" in text and "6  listed" not in text


def test_names_a_pipe_without_opening_it(data, capsys):
    (data / "videos" / TRAIN[0]).unlink()
    os.mkfifo(data / "videos" / TRAIN[0])
    os.mkfifo(data / "videos" / "flow.pfm")
    code, text = check(data / "videos", capsys)
    assert code == 1 and f"{TRAIN[0]}: not a regular file, but a pipe" in text


def test_flow_files(tmp_path, capsys):
    write_flo(tmp_path / "good.flo", np.zeros((4, 5, 2)))
    (tmp_path / "weights.pfm").write_bytes(b"Pf\n5 4\n-1\n" + bytes(80))
    code, text = check(tmp_path, capsys)
    assert code == 0 and "1  not a file of flow that is checked; weights.pfm" in text
    data = bytearray((tmp_path / "good.flo").read_bytes())
    data[4:8] = (7).to_bytes(4, "little")
    (tmp_path / "lies.flo").write_bytes(data)
    code, text = check(tmp_path, capsys)
    assert code == 1 and "lies.flo: 172 bytes, but a flow of 7 x 4" in text


def test_rejects_wrong_usage(data, capsys):
    for root, *arguments in (
        (data / "nowhere",),
        (data / "lists",),
        (data / "videos", "--source", "youtube"),
        (data / "videos", "--source", "tfds"),
        (data / "videos", "--stride", "0"),
    ):
        code, text = check(root, capsys, *arguments)
        assert code == 2 and text.startswith("error: ")
    assert "source: tfds has no lists of videos" in check(data, capsys, "--source", "tfds")[1]


def test_real_dataset(shared_data, capsys):
    code, text = check(shared_data / "arid6/videos", capsys)
    assert code == 0 and "6 classes" in text
    assert f"{'as long as a clip':<20} {150:>8} {43:>8}" in text


def test_folds_lines_at_the_width_of_a_terminal(data, monkeypatch, capsys):
    (data / "videos/Run" / ("long " * 20 + ".xyz")).write_text("x")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    _, text = check(data / "videos", capsys)
    folded = text[text.index("kind  ") :].splitlines()  # above are paths, which stay whole
    assert max(map(len, folded)) < 80 and f"{'':33}long" in "\n".join(folded)
