"""How a resumed run compares its data with what it was trained on."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from tests.class_folders import (
    folder_config,
    forget,
    listing,
    make_lists_old,
    make_sizes_differ,
    swap_labels,
    train_on,
    write_class,
    write_classes,
    write_lists,
)
from tests.small_run import build_small_network
from tests.train.loop_runs import contents, run
from train.checkpoint import load_record
from train.config import ObjectiveConfig

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Returns a folder with the videos of two classes and a run of two steps on them."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.program.build_model", build_small_network)
        train_on(folder / "run", write_classes(folder / "videos", "jump", "run"), steps=2)
    return folder


@pytest.fixture
def root(template, tmp_path):
    """Returns a copy of the videos; `tmp_path / "run"` is a copy of the run."""
    shutil.copytree(template / "run", tmp_path / "run")
    return shutil.copytree(template / "videos", tmp_path / "videos")


# ---------------------------------------------------------------- Other classes


def test_rejects_swapped_classes(tmp_path, root):
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match="the classes have other labels than in") as error:
        train_on(tmp_path / "run", root, annotations=swap_labels(root))
    assert "0  jump" in str(error.value) and "--data.classes jump run" in str(error.value)
    assert contents(tmp_path / "run") == before


def test_the_classes_in_the_order_of_the_run_are_accepted(tmp_path, root):
    lists = swap_labels(root)
    _, text = train_on(tmp_path / "run", root, annotations=lists, classes=("jump", "run"))
    assert "resumed at step 2" in text
    assert load_record(tmp_path / "run")[1].class_names == ("jump", "run")


def test_an_older_run_does_not_accept_other_chosen_classes(tmp_path, root):
    forget(tmp_path / "run")
    with pytest.raises(
        ValueError, match=r"data.classes: \(\) in the folder, \('run', 'jump'\) now"
    ):
        train_on(tmp_path / "run", root, classes=("run", "jump"))


def test_rejects_a_renamed_class(tmp_path, root):
    before = contents(tmp_path / "run")
    (root / "jump").rename(root / "hop")
    with pytest.raises(ValueError, match="only in the run: jump; only in the data: hop") as error:
        train_on(tmp_path / "run", root)
    assert "Rename or restore" in str(error.value) and "another --run-dir" in str(error.value)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("change", ["added", "removed"])
def test_rejects_another_number_of_classes(tmp_path, root, change):
    write_classes(root, "bow")
    if change == "removed":
        train_on(tmp_path / "other", root, steps=1)
        shutil.rmtree(root / "jump")
    words = {"added": r"only in the data: bow\)", "removed": r"only in the run: jump\)"}
    with pytest.raises(ValueError, match=words[change]):
        train_on(tmp_path / {"added": "run", "removed": "other"}[change], root)


def test_differences_in_spelling_are_told_and_accepted(tmp_path, root):
    before = listing(tmp_path / "run")
    (root / "jump").rename(root / "JUMP")
    _, text = train_on(tmp_path / "run", root)
    assert text.count("is 'JUMP' in the data; they count as the same class") == 1
    assert "training videos with another spelling (first: JUMP/" in text
    # Without lists, the split follows from the names, so it may have changed.
    train_on(tmp_path / "fresh", root, steps=1)
    after = listing(tmp_path / "fresh")
    was = {name for name, _ in before["train"]}
    now = {name.lower() for name, _ in after["train"]}
    assert was != now, "choose a spelling that changes the split"
    assert f"{len(was - now)} training video removed" in text
    assert f"{len(now - was)} training video added" in text
    leaked = sorted(name for name, _ in after["test"] if name.lower() in was)
    assert f"was trained on {len(leaked)} of the 2 test videos (first: {leaked[0]})" in text


def test_a_run_that_learns_flow_alone_ignores_classes(tmp_path, root):
    flow = ObjectiveConfig(flow="endpoint", action=False)
    train_on(tmp_path / "flow", root, steps=1, objective=flow)
    (root / "jump").rename(root / "hop")
    result, text = train_on(tmp_path / "flow", root, steps=2, objective=flow)
    assert result.finished and "4 training videos removed" in text
    assert "relabeled" not in text


# ---------------------------------------------------------------- Other videos


def test_tells_removed_and_added_videos_once(tmp_path, root):
    lists = listing(tmp_path / "run")
    gone = [name for name, _ in lists["train"] if name.startswith("jump/")][:2]
    for name in gone:
        (root / name).unlink()
    write_class(root / "run", range(5, 6))
    output = train_on(tmp_path / "run", root)[1]
    told = [line for line in output.splitlines() if "the data changed since step 2" in line]
    assert len(told) == 1
    assert f"2 training videos removed (first: {gone[0]})" in told[0]
    assert "1 training video added (first: run/5.avi)" in told[0]
    assert told[0].endswith("the order of the examples differs from here on")
    record = load_record(tmp_path / "run")[1]
    assert record.changes == (told[0].replace("warning: the data changed since step 2", "step 2"),)
    assert len(list((tmp_path / "run" / "data").glob("train-*.txt"))) == 2  # both lists are kept
    assert (tmp_path / "run" / "data" / "record.json").read_text().count("step 2") == 1
    assert "the data changed" not in train_on(tmp_path / "run", root, steps=6)[1]


def test_tells_when_training_videos_became_test_videos(tmp_path, root):
    lists = swap_labels(root)
    train_on(tmp_path / "other", root, steps=2, annotations=lists)
    write_lists(Path(lists), test=0)
    _, text = train_on(tmp_path / "other", root, annotations=lists)
    assert "was trained on 2 of the 2 test videos (first: jump/0.avi)" in text


def test_tells_relabeled_videos_and_another_order(tmp_path, root):
    rows = [
        f"{name}/{n}.avi,{name},{'test' if n == 4 else 'train'}"
        for name in ("jump", "run")
        for n in range(5)
    ]

    def resume(steps, rows):
        (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
        config = folder_config(
            tmp_path / "other", root, steps=steps, annotations=str(tmp_path / "list.csv")
        )
        return run(
            dataclasses.replace(config, data=dataclasses.replace(config.data, source="csv"))
        )[1]

    resume(1, rows)
    assert "the training videos are in another order; the test" in resume(2, rows[::-1])
    rows[0] = "jump/0.avi,run,train"
    assert "1 training video relabeled (first: jump/0.avi)" in resume(3, rows[::-1])


def test_tells_exchanged_folders(tmp_path, root):
    make_sizes_differ(root)
    train_on(tmp_path / "other", root, steps=2)
    for old, new in (("jump", "x"), ("run", "jump"), ("x", "run")):
        (root / old).rename(root / new)
    _, text = train_on(tmp_path / "other", root)
    assert "8 training videos with the same name but other content (first: " in text
    assert "2 test videos with the same name but other content (first: " in text
    assert "folders look exchanged: jump now has those of run, run now has those of jump" in text
    assert "differs from here on" not in text


def test_tells_other_content_of_the_same_name(tmp_path, root):
    videos = sorted(name for name, _ in listing(tmp_path / "run")["train"])
    with (root / videos[2]).open("ab") as file:
        file.write(bytes(1))
    _, text = train_on(tmp_path / "run", root)
    assert f"1 training video with the same name but other content (first: {videos[2]})" in text
    assert "exchanged" not in text


def test_older_lists_are_compared_by_name(tmp_path, root):
    """Lists of older versions have neither numbers of frames nor sizes."""
    make_lists_old(tmp_path / "run")
    with (root / "run" / "0.avi").open("ab") as file:
        file.write(bytes(1))
    assert "warning" not in train_on(tmp_path / "run", root, steps=3)[1]
    (root / "run" / "0.avi").unlink()
    assert " removed (first: run/0.avi)" in train_on(tmp_path / "run", root)[1]


def test_without_the_old_list_counts_are_told(tmp_path, root):
    for path in (tmp_path / "run" / "data").glob("train-*.txt"):
        path.write_text("edited")
    (root / "run" / "0.avi").unlink()
    _, text = train_on(tmp_path / "run", root)
    assert (
        "other training videos (8 before, 7 now)" in text
        or "other test videos (2 before, 1 now)" in text
    )
