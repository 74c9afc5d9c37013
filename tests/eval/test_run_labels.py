"""How an evaluation compares its data with what the run was trained on."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.source import Skipped
from eval.action import ActionConfig, run_action
from eval.flow_methods import _num_classes
from eval.fuse import FuseConfig, run_fuse
from eval.probe import ProbeConfig, gains_over, run_probe
from eval.run_labels import Relabeled
from eval.scores import load_scores
from tests.class_folders import (
    forget,
    listing,
    make_sizes_differ,
    swap_labels,
    train_on,
    write_classes,
    write_lists,
)
from tests.small_run import build_small_network
from train.checkpoint import load_config
from train.saved_classes import num_classes_of


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Returns a folder with the videos of three classes and a run on them."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.program.build_model", build_small_network)
        train_on(folder / "run", write_classes(folder / "videos", "jump", "run", "walk"), steps=2)
    return folder


@pytest.fixture
def root(template, tmp_path, monkeypatch):
    """Returns a copy of the videos; `tmp_path / "run"` is a copy of the run."""
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    shutil.copytree(template / "run", tmp_path / "run")
    return shutil.copytree(template / "videos", tmp_path / "videos")


def evaluate(run_dir, root, **options):
    """Returns the contents of `eval.json` and what was printed."""
    console = Console(record=True, width=300)
    config = ActionConfig(run=(str(run_dir),), data_root=str(root), examples=1, **options)
    return run_action(config, console)[0], console.export_text()


def test_the_data_of_the_training_needs_no_word(tmp_path, root):
    values, text = evaluate(tmp_path / "run", root)
    assert "warning" not in text and values["data_notes"] == []
    assert load_scores(tmp_path / "run").recorded


@pytest.mark.parametrize("command", ["action", "probe"])
def test_rejects_renamed_classes(tmp_path, root, command):
    (root / "jump").rename(root / "hop")
    with pytest.raises(ValueError, match="only in the run: jump; only in the data: hop") as error:
        if command == "action":
            evaluate(tmp_path / "run", root)
        else:
            run_probe(ProbeConfig(str(tmp_path / "run"), data_root=str(root)))
    assert "0  jump" in str(error.value) and "--data-root" in str(error.value)
    assert not (tmp_path / "run" / "eval.json").exists()


def test_rejects_swapped_classes_and_names_the_option_that_sorts_them(tmp_path, root):
    shutil.rmtree(root / "walk")
    train_on(tmp_path / "two", root, steps=1)
    right, _ = evaluate(tmp_path / "two", root)
    lists = swap_labels(root)
    with pytest.raises(ValueError, match="have other labels than in (.|\n)*--classes jump run,"):
        evaluate(tmp_path / "two", root, annotations=lists)
    sorted_, _ = evaluate(tmp_path / "two", root, annotations=lists, classes=("jump", "run"))
    assert right["class_names"] == sorted_["class_names"] == ["jump", "run"]


def test_rejects_a_class_that_the_network_does_not_have(tmp_path, root):
    before, _ = evaluate(tmp_path / "run", root)
    write_classes(root, "bow")
    with pytest.raises(ValueError, match=r"only in the data: bow\)(.|\n)*--classes jump run walk"):
        evaluate(tmp_path / "run", root)
    after, text = evaluate(tmp_path / "run", root, classes=("jump", "run", "walk"))
    assert after["confusion"] == before["confusion"] and "warning" not in text
    assert "--classes jump run walk" in (tmp_path / "run" / "report.html").read_text()


def test_a_subset_of_the_classes_keeps_the_labels_of_the_run(tmp_path, root):
    whole, _ = evaluate(tmp_path / "run", root)
    expected = load_scores(tmp_path / "run")
    shutil.rmtree(root / "run")
    part, text = evaluate(tmp_path / "run", root)
    scores = load_scores(tmp_path / "run")
    assert scores.class_names == ("jump", "run", "walk")
    kept = [i for i, name in enumerate(expected.names) if not name.startswith("run/")]
    assert scores.names == tuple(expected.names[i] for i in kept)
    assert [scores.class_names[label] for label in scores.labels] == [
        name.partition("/")[0] for name in scores.names
    ]
    np.testing.assert_allclose(scores.logits, expected.logits[kept], rtol=1e-5)
    confusion = np.array(whole["confusion"])
    confusion[1] = 0
    np.testing.assert_array_equal(part["confusion"], confusion)
    assert part["chance"] == pytest.approx(1 / 3)
    assert text.count("the data has 2 of the 3 classes of the run (without run)") == 1
    assert "1 test video removed (first: run/" in text
    assert "2 of the 3 classes" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_reading_processes_see_the_labels_of_the_run(tmp_path, root):
    shutil.rmtree(root / "jump")
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    settings["data"]["num_workers"] = 1
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings))
    evaluate(tmp_path / "run", root)
    assert load_scores(tmp_path / "run").labels.tolist() == [1, 2]


def test_a_relabeled_video_can_be_pickled():
    class Video:
        name, label, fps = "a", 1, 25.0

    video = Relabeled(Video, (3, 7))
    assert (video.label, video.name, video.fps) == (7, "a", 25.0)
    assert not hasattr(video, "nothing")
    copy = pickle.loads(pickle.dumps(Relabeled(Skipped("file", "reason"), (3,))))
    assert copy == Relabeled(Skipped("file", "reason"), (3,)) and copy.path == "file"


def test_differences_in_spelling_are_told_once(tmp_path, root):
    (root / "jump").rename(root / "JUMP")
    values, text = evaluate(tmp_path / "run", root)
    assert text.count("'JUMP' in the data; they count as the same class") == 1
    assert values["class_names"] == ["jump", "run", "walk"]


def test_warns_of_test_videos_that_were_trained_on(tmp_path, root):
    shutil.rmtree(root / "walk")
    lists = swap_labels(root)
    train_on(tmp_path / "two", root, steps=1, annotations=lists)
    write_lists(Path(lists), test=2)
    _, text = evaluate(tmp_path / "two", root, annotations=lists)
    assert text.count("was trained on 2 of the 2 test videos (first: jump/2.avi)") == 1
    assert "the test videos changed since training: 2 test videos removed" in text


def test_warns_of_videos_of_the_training_in_a_respelled_folder(tmp_path, root):
    (root / "jump").rename(root / "Jump")
    lists = Path(swap_labels(root))
    trained = [name for name, _ in listing(tmp_path / "run")["train"]]
    for split, names in (("train", ["Jump/9.avi"]), ("test", trained)):
        text = "".join(name.replace("jump/", "Jump/") + "\n" for name in names)
        (lists / f"{split}list01.txt").write_text(text)
    (lists / "classInd.txt").write_text("1 Jump\n2 run\n3 walk\n")
    _, text = evaluate(tmp_path / "run", root, annotations=str(lists))
    assert "was trained on 12 of the 12 test videos (first: Jump/" in text


def test_warns_of_exchanged_folders(tmp_path, root):
    make_sizes_differ(root)
    train_on(tmp_path / "other", root, steps=1)
    for old, new in (("jump", "x"), ("run", "jump"), ("x", "run")):
        (root / old).rename(root / new)
    values, text = evaluate(tmp_path / "other", root)
    assert "2 test videos with the same name but other content" in text
    assert "folders look exchanged: jump now has those of run, run now has those of jump" in text
    assert "look exchanged" in values["data_notes"][0]


def test_an_older_run_says_once_that_it_cannot_be_checked(tmp_path, root):
    forget(tmp_path / "run")
    (root / "jump").rename(root / "hop")
    values, text = evaluate(tmp_path / "run", root)
    assert text.count("was made before class names were recorded") == 1
    assert values["class_names"] == ["hop", "run", "walk"]
    assert not load_scores(tmp_path / "run").recorded
    console = Console(record=True, width=300)
    run_fuse(FuseConfig(scores=((str(tmp_path / "run"),),)), console)
    assert console.export_text().count("they cannot be checked") == 1
    console = Console(record=True, width=300)
    gains_over(tmp_path / "run", tmp_path / "run", console)
    assert console.export_text().count("they cannot be checked") == 1


def test_rejects_other_numbers_of_classes_for_an_older_run(tmp_path, root):
    forget(tmp_path / "run")
    write_classes(root, "bow")
    message = "there are 4 classes .bow, jump, run, walk., but the network of .* was trained on 3"
    with pytest.raises(ValueError, match=message + "(.|\n)*--data-root"):
        evaluate(tmp_path / "run", root)
    with pytest.raises(ValueError, match=message + "(.|\n)*--run-dir"):
        train_on(tmp_path / "run", root)
    assert num_classes_of(tmp_path / "run") == 3
    assert num_classes_of(tmp_path / "nothing") is None


@pytest.mark.slow
def test_rejects_the_fusion_of_runs_with_swapped_classes(tmp_path, root):
    shutil.rmtree(root / "walk")
    lists = swap_labels(root)
    for name, classes in (("first", ("jump", "run")), ("second", ("run", "jump"))):
        run_dir = tmp_path / name
        train_on(run_dir, root, steps=1, annotations=lists, classes=classes)
        evaluate(run_dir, root)
    runs = tuple(str(tmp_path / name) for name in ("first", "second"))
    with pytest.raises(ValueError, match="have different classes and cannot be combined") as error:
        run_fuse(FuseConfig(scores=(runs,)), Console(quiet=True))
    assert "0  jump" in str(error.value)
    with pytest.raises(ValueError, match="different class lists and cannot be averaged:\n  label"):
        run_action(ActionConfig(run=runs, examples=0), Console(quiet=True))


def test_flow_evaluation_needs_no_videos_to_know_the_number_of_classes(tmp_path, root):
    settings = load_config(tmp_path / "run")
    shutil.rmtree(root)
    assert _num_classes(tmp_path / "run", settings) == 3
    forget(tmp_path / "run")
    assert _num_classes(tmp_path / "run", settings) == 3
