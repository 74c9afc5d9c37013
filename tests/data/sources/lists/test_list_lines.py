"""Lists as people write them: separators, quotes, one more column, paths of another machine."""

import pytest

from afn_jax.data.sources.lists.list_lines import split_line
from afn_jax.data.sources.lists.paths import below_root, clean_path, folder_label, label_table
from afn_jax.data.sources.lists.ucf101 import read_class_names, read_list
from afn_jax.data.sources.lists.video_folder import read_video_folder

CLASSES = ("Jump rope", "Run")


@pytest.mark.parametrize(
    "text, path, numbers",
    [
        ("Run/a.avi 2", "Run/a.avi", (2,)),
        ("Run/a.avi", "Run/a.avi", ()),
        ("Jump rope/b 2.avi", "Jump rope/b 2.avi", ()),
        ("Run/a.avi\t2", "Run/a.avi", (2,)),
        ("Run/a.avi    2", "Run/a.avi", (2,)),
        ("Run/a.avi,2", "Run/a.avi", (2,)),
        ("Run/a.avi, 2", "Run/a.avi", (2,)),
        ("Run/a.avi;2;", "Run/a.avi", (2,)),
        ('"Jump rope/b c.avi" 1', "Jump rope/b c.avi", (1,)),
        ("'Jump rope/b c.avi',1", "Jump rope/b c.avi", (1,)),
        ("'Tis time.avi 1", "'Tis time.avi", (1,)),
        ("Run\\b.MP4 2", "Run/b.MP4", (2,)),
        (".\\Run\\b.mp4 2", "Run/b.mp4", (2,)),
        ("Run/a.avi 120 2", "Run/a.avi", (120, 2)),
        ("Run/a.avi,120,2", "Run/a.avi", (120, 2)),
        ("Run/v 7.x264.mkv 3", "Run/v 7.x264.mkv", (3,)),
        ("Run/frames_07 2", "Run/frames_07", (2,)),
        ("Run/v 07\t2", "Run/v 07", (2,)),
        ("Run/a, b.avi 2", "Run/a, b.avi", (2,)),
        ("Run/a.avi|2", "Run/a.avi", (2,)),
        ("Run/a.avi | 2", "Run/a.avi", (2,)),
        ("Run/a.avi:2", "Run/a.avi", (2,)),
        ("Run/v 07|2", "Run/v 07", (2,)),
        ("Run/v_10:30", "Run/v_10:30", ()),
        ("Run/a.avi\u00a02", "Run/a.avi", (2,)),
        ("Run/a.avi \u00a02 ", "Run/a.avi", (2,)),
        ("Run/a.avi 2 # first", "Run/a.avi", (2,)),
        ("Run/a.avi # first", "Run/a.avi", ()),
        ("Run/v 07\t2 # first", "Run/v 07", (2,)),
        ("Run/frames_07 2 # first", "Run/frames_07", (2,)),
        ("Run/take # 3.avi 2", "Run/take # 3.avi", (2,)),
        ("Run/take # 3", "Run/take #", (3,)),
    ],
)
def test_divides_a_line(text, path, numbers):
    line = split_line(text)
    assert (line.path, line.numbers, line.words) == (path, numbers, "")


def test_a_class_name_may_stand_in_place_of_its_number(tmp_path):
    (tmp_path / "l.txt").write_text('a.avi Run\nb c.avi, jump_rope\n"d.avi" "Jump rope"\n')
    assert read_list(tmp_path / "l.txt", CLASSES) == (("a.avi", 1), ("b c.avi", 0), ("d.avi", 0))
    (tmp_path / "l.txt").write_text("Run/a.avi Run\nRun/a.avi 2 of 3\n")
    with pytest.raises(
        ValueError, match="line 2: after the path 'Run/a.avi' follows '2 of 3', whi"
    ):
        read_list(tmp_path / "l.txt", CLASSES)


def test_skips_comments_and_reads_byte_order_marks(tmp_path):
    text = "\ufeff# path class\r\nRun/a.avi 2\r\n\r\n# Run/b.avi 2\r\n#x/c.avi 3\r\n"
    (tmp_path / "l.txt").write_bytes(text.encode())
    assert read_list(tmp_path / "l.txt", (*CLASSES, "#x")) == (("Run/a.avi", 1), ("#x/c.avi", 2))
    (tmp_path / "c.txt").write_bytes("\ufeff# classes\r\n1\tJump rope\r\n2, Run\r\n".encode())
    assert read_class_names(tmp_path / "c.txt") == CLASSES
    (tmp_path / "c.txt").write_text("1;\"Jump rope\"\n2   'Run'\n3: Don't\n")
    assert read_class_names(tmp_path / "c.txt") == (*CLASSES, "Don't")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_names_utf_16(tmp_path, encoding):
    (tmp_path / "l.txt").write_bytes("Run/a.avi 2\n".encode(encoding))
    with pytest.raises(ValueError, match="l.txt: the text is UTF-16, as Windows"):
        read_list(tmp_path / "l.txt", CLASSES)


@pytest.mark.parametrize(
    "text, labels",
    [
        ("Run/a.avi 120 1\nJump rope/b.avi 90 0\n", [1, 0]),  # TSN, counted from 0
        ("Run/a.avi 120 2\nJump rope/b.avi 90 1\n", [1, 0]),
        ("Run/a.avi 1 120\nJump rope/b.avi 0 90\n", [1, 0]),
        ("x/a.avi 120 1\nx/b.avi 90 0\n", [1, 0]),  # a 0 tells where the count starts
        ("x/a.avi 120 1\nx/b.avi 90 2\n", [0, 1]),  # the last class tells
        ("Run/a,120,1\nRun/b,2,1\n", [1, 1]),
    ],
)
def test_reads_a_column_more_where_it_is_clear(tmp_path, text, labels):
    (tmp_path / "l.txt").write_text(text)
    assert [label for _, label in read_list(tmp_path / "l.txt", CLASSES)] == labels


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "x/a.avi 1 0\nx/b.avi 0 1\n",
            "l.txt: two numbers follow each path, 1 and 0 .*more than one",
        ),
        ("x/a.avi 120 1\nx/b.avi 90 1\n", "two numbers .* more than one may be the class"),
        ("Run/a.avi 120 7\n", "two numbers follow each path, 120 and 7 .* neither is a class"),
        ("Run/a.avi 2\n/\n", "line 2: no path; write 'Class/video.avi'"),
        ('Run/a.avi 2\n""\n', "line 2: no path"),
        ("Run/a.avi 1 2 3\n", "line 1: 3 numbers after the path 'Run/a.avi'"),
        ("Run/a.avi 12 2\nRun/b.avi 2\n", "line 1: 2 numbers .* but 1 in .*line 2"),
        ("Run/a 12 2\nRun/b 34 2\n", "unclear whether the path is 'Run/a' or 'Run/a 12'; neither"),
    ],
)
def test_names_the_doubt(tmp_path, text, message):
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_list(tmp_path / "l.txt", CLASSES)


def test_the_disk_tells_blanks_in_paths_from_columns(tmp_path):
    (tmp_path / "l.txt").write_text("Run/a 12 2\nRun/b 34 2\n")
    there = {"Run/a 12"}.__contains__
    assert read_list(tmp_path / "l.txt", CLASSES, there) == (("Run/a 12", 1), ("Run/b 34", 1))
    there = {"Run/b"}.__contains__
    assert read_list(tmp_path / "l.txt", CLASSES, there) == (("Run/a", 1), ("Run/b", 1))
    # Without a second number in every line, the numbers belong to the paths.
    (tmp_path / "l.txt").write_text("Run/a 12 2\nRun/b 2\n")
    assert read_list(tmp_path / "l.txt", CLASSES) == (("Run/a 12", 1), ("Run/b", 1))


@pytest.mark.parametrize(
    "path, label",
    [
        ("Run/a.avi", 1),
        ("Run/Jump rope/a.avi", 1),  # the first folder of a relative path
        ("UCF-101/Run/a.avi", 1),
        ("/data/Jump rope/Run/a.avi", 1),  # the folder next to the file of an absolute one
        ("/data/Run/day 1/a.avi", 1),
        ("D:/videos/jump_rope/a.avi", 0),
        ("elsewhere/a.avi", None),
        ("/data/Running/a.avi", None),
    ],
)
def test_label_of_the_class_folder(path, label):
    assert folder_label(path, label_table(CLASSES)) == label


def test_paths_of_another_machine_start_below_the_root(tmp_path):
    root = tmp_path / "UCF-101"
    for name in ("Run/a.avi", "Run/b.avi", "Jump rope/a.avi"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    listed = [
        f"{root}/Run/a.avi",
        "/home/someone/UCF-101/Run/b.avi",
        "E:/UCF-101/Jump rope/a.avi",
        "UCF-101/Run/b.avi",
        "../UCF-101/Run/a.avi",
        "/mnt/old/Run/gone.avi",
        "Run/also gone.avi",
    ]
    assert below_root(root, listed, CLASSES) == [
        "Run/a.avi",
        "Run/b.avi",
        "Jump rope/a.avi",
        "Run/b.avi",
        "Run/a.avi",
        "Run/gone.avi",
        "Run/also gone.avi",
    ]
    # A file name that several videos have says nothing; one that is unique does.
    (root / "a.avi").touch()
    assert below_root(root, ["/x/Fly/a.avi", "/x/Swim/a.avi"]) == ["/x/Fly/a.avi", "/x/Swim/a.avi"]
    assert below_root(root, ["/x/Fly/a.avi"]) == ["a.avi"]
    assert clean_path(r" \\server\videos\\Run\a.avi ") == "//server/videos/Run/a.avi"


@pytest.mark.parametrize("form", ["../other/{}", "{outside}/{}", "own/../../other/{}"])
def test_a_path_that_exists_means_that_file(tmp_path, form):
    """A file below the root with the same end is another file."""
    root, outside = tmp_path / "videos", tmp_path / "other"
    for folder in (root / "own", root / "Run", outside / "Run"):
        folder.mkdir(parents=True)
    for name in ("a.avi", "b.avi"):
        (root / "Run" / name).write_text("inside")
        (outside / "Run" / name).write_text("outside")
    both = [form.format(f"Run/{name}", outside=outside) for name in ("a.avi", "b.avi")]
    gone = form.format("Run/gone.avi", outside=outside)  # the first is there only below the root
    (root / "Run/gone.avi").write_text("inside")
    assert below_root(root, both) == both
    assert below_root(root, [gone, *both]) == ["Run/gone.avi", *both]
    if form.startswith(".."):  # unless it is one file
        assert below_root(root, ["../videos/Run/a.avi"]) == ["Run/a.avi"]
        (outside / "Run/a.avi").unlink()
        (outside / "Run/a.avi").symlink_to(root / "Run/a.avi")
        assert below_root(root, both) == ["Run/a.avi", both[1]]


def test_a_list_with_absolute_paths_and_no_labels(tmp_path):
    for name in ("Jump rope", "Run"):
        for i in range(2):
            path = tmp_path / "videos" / name / f"{i}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "lists").mkdir()
    names = [
        f"/cluster/data/videos/{name}/{i}.avi" for name in ("Run", "Jump rope") for i in (0, 1)
    ]
    (tmp_path / "lists/testlist01.txt").write_text("\n".join(names))
    videos = read_video_folder(tmp_path / "videos", "test", None, 1)
    assert videos.class_names == ("Jump rope", "Run")
    assert [(entry.path, entry.label) for entry in videos.entries] == [
        ("Run/0.avi", 1),
        ("Run/1.avi", 1),
        ("Jump rope/0.avi", 0),
        ("Jump rope/1.avi", 0),
    ]
