import hashlib
import re

import pytest

from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.lists.ucf101 import find_lists, read_class_names, read_list


@pytest.mark.parametrize(
    ("number", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_official_ucf101_lists(shared_data, number, train, test):
    folder = shared_data / "lists_ucf101" / "ucfTrainTestlist"
    names = read_class_names(folder / "classInd.txt")
    assert len(names) == 101
    assert (names[0], names[100]) == ("ApplyEyeMakeup", "YoYo")
    train_list = read_list(folder / f"trainlist0{number}.txt", names)
    test_list = read_list(folder / f"testlist0{number}.txt", names)
    assert (len(train_list), len(test_list)) == (train, test)
    both = dict(train_list) | dict(test_list)
    assert len(both) == 13320
    assert all(names[label] == path.split("/")[0] for path, label in both.items())

    # The official splits do not divide groups of videos; neither does splitting by name.
    def groups(paths):
        return {re.sub(r"_c\d+\.avi", "", path) for path in paths}

    assert not groups(dict(train_list)) & groups(dict(test_list))


def write(folder, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    return folder


def test_reads_windows_line_ends_spaces_and_missing_labels(tmp_path):
    write(
        tmp_path,
        classInd="\ufeff1 Jump rope \r\n2 Run\r\n\r\n",
        trainlist01="Run/a 1.avi 2  \r\nJump rope/b c.avi 1\r\nelsewhere/x.avi 2",
        testlist01="Jump rope/b 2.avi \r\nRun\\d.avi\r\n",
    )
    names = read_class_names(tmp_path / "classInd.txt")
    assert names == ("Jump rope", "Run")
    assert read_list(tmp_path / "trainlist01.txt", names) == (
        ("Run/a 1.avi", 1),
        ("Jump rope/b c.avi", 0),
        ("elsewhere/x.avi", 1),
    )
    assert read_list(tmp_path / "testlist01.txt", names) == (
        ("Jump rope/b 2.avi", 0),
        ("Run/d.avi", 1),
    )


def test_classes_are_sorted_by_number(tmp_path):
    write(
        tmp_path,
        classInd="2 Apple\n1 Pear\n10 Fig\n" + "".join(f"{i} c{i}\n" for i in range(3, 10)),
    )
    names = read_class_names(tmp_path / "classInd.txt")
    assert names[:3] == ("Pear", "Apple", "c3") and names[9] == "Fig"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 Run\nJump\n", "line 2: got 'Jump'; a line must be a class number and a name"),
        ("1 Run\n1 Jump\n", "line 2: class number 1 occurs twice"),
        ("1 Run\n3 Jump\n", r"class numbers are \[1, 3\]; they must be 1, 2"),
        ("0 Run\n1 Jump\n", r"class numbers are \[0, 1\]"),
    ],
)
def test_rejects_malformed_class_files(tmp_path, text, message):
    write(tmp_path, classInd=text)
    with pytest.raises(ValueError, match=message):
        read_class_names(tmp_path / "classInd.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Run/a.avi 1\nRun/b.avi 3", "line 2: class number 3; allowed: 1 to 2"),
        ("Run/a.avi 0", "class number 0; allowed: 1 to 2"),
        ("Run/a.avi 2", "class number 2 is 'Jump', but the video is in the folder of 'Run'"),
        ("Fly/a.avi", "has no class number, and its folder is not one of the 2 classes"),
    ],
)
def test_rejects_malformed_lists(tmp_path, text, message):
    write(tmp_path, trainlist01=text)
    with pytest.raises(ValueError, match=message):
        read_list(tmp_path / "trainlist01.txt", ("Run", "Jump"))


@pytest.mark.parametrize(
    "place", ["", "lists", "ucfTrainTestlist", "..", "../lists", "../ucfTrainTestlist"]
)
def test_find_lists(tmp_path, place):
    root = tmp_path / "videos"
    root.mkdir()
    assert find_lists(root) is None
    folder = write(root / place, trainlist02="Run/a.avi 1")
    assert find_lists(root).resolve() == folder.resolve()
    inside = write(root / "lists", testlist01="Run/a.avi")
    if place not in ("", "lists"):
        assert find_lists(root) == inside  # the nearer one wins


def both_splits(paths, **kwargs):
    return [split_by_name(paths, split=split, **kwargs) for split in ("train", "test")]


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("count", range(1, 12))
def test_split_by_name_is_complete_and_disjoint(count, test_fraction):
    paths = [f"Run/clip {i}.mp4" for i in range(count)]
    train, test = both_splits(paths, test_fraction=test_fraction)
    assert sorted(train + test) == sorted(paths)
    assert train and (test or count == 1)
    if count > 1:
        assert abs(len(test) - test_fraction * count) <= 1


def test_split_by_name_does_not_depend_on_order_or_run():
    paths = [f"Run/{i}.mp4" for i in range(20)]
    assert both_splits(paths) == both_splits(paths[::-1])
    # The fifth of the 20 paths with the smallest hashes.
    smallest = sorted(paths, key=lambda p: hashlib.sha256(p.encode()).hexdigest())[:4]
    assert set(both_splits(paths)[1]) == set(smallest)


def test_groups_stay_whole():
    paths = [f"Run/v_Run_g{g:02d}_c{c:02d}.avi" for g in range(1, 11) for c in range(1, 2 + g % 4)]
    train, test = both_splits(paths)
    groups = [{path[-11:-8] for path in part} for part in (train, test)]
    assert not groups[0] & groups[1]
    assert len(groups[1]) == 2
    # The same groups are for testing in every class, because a group shares its actor.
    other = [path.replace("Run", "Jump") for path in paths]
    assert {path[-11:-8] for path in both_splits(other)[1]} == groups[1]


def test_a_single_group_is_split_by_video():
    train, test = both_splits([f"Run/v_Run_g01_c0{c}.avi" for c in range(1, 6)])
    assert (len(train), len(test)) == (4, 1)


def test_rejects_an_unknown_split():
    with pytest.raises(ValueError, match="split: got 'val'; allowed: 'train' and 'test'"):
        split_by_name(["a"], split="val")


def test_a_name_with_composed_and_decomposed_accents_is_one_clip():
    others = [f"Run/{n}.avi" for n in range(30)]
    for number in range(20):
        pair = {f"Run/caf\u00e9{number}.avi", f"Run/cafe\u0301{number}.mp4"}
        parts = [set(split_by_name([*others, *pair], split=split)) for split in ("train", "test")]
        assert pair <= parts[0] or pair <= parts[1]
