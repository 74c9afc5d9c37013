"""What killed processes leave in the output folder, and who may write to it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.predict.outputs.calls import FILM, predict
from tests.predict.stand_ins import brightness_network

KILLED = """
import os, signal
from afn_jax.predict import many
from afn_jax.predict.outputs import ledger
from tests.predict.outputs.calls import FILM, predict

def move(source, target):
    original(source, target)
    if target.name == "{last}":
        os.kill(os.getpid(), signal.SIGKILL)

original, ledger.move_without_replacing = ledger.move_without_replacing, move
if not "{last}":
    many.write_record = lambda *rest: os.kill(os.getpid(), signal.SIGKILL)
predict("w/a.mp4", "out", FILM)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "in_place"),
    [("", set()), ("a.segments.csv", {"a.csv", "a.segments.csv"}), ("a.json", {"a.json"})],
)
def test_what_a_killed_process_left_is_removed_and_nothing_else(tree, last, in_place):
    """It is killed before its outputs are moved to their place, in between and after it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = KILLED.format(last=last)
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tree)
    assert done.returncode == -signal.SIGKILL
    found = {p.name for p in (tree / "out").iterdir()}
    assert in_place <= found and any(name.startswith(".predict.") for name in found)
    mine = [tree / "out/a.csv", tree / "out/a.features.npz", tree / "out/.keep"]
    for path in mine:
        path.write_text("mine")
    outcome = predict(["w/a.mp4", "out"], "out", FILM)
    assert (outcome.done, outcome.before) == (1, int(last == "a.json"))
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert [Path(item.path).name for item in outcome.skipped if "/." in item.path] == [".keep"]
    names = {p.name for p in (tree / "out").iterdir()}
    assert [name for name in names if name.startswith(".")] == [".keep"]
    if last != "a.json":
        assert "a-mp4.json" in names and not {"a.json", "a.mp4", "a.segments.csv"} & names


def test_a_lock_that_another_process_removes_is_taken_again(tree, monkeypatch):
    """That process ends between the opening of the file and the lock."""
    import fcntl

    flock, files = fcntl.flock, []

    def lock(file, how):
        files.append(file)
        if len(files) == 1:
            os.unlink("out/.predict.lock")
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    network = brightness_network()
    function = network.function

    def refused(frames):
        if len(files) == 2:
            with pytest.raises(ValueError, match="another afn-jax predict is writing"):
                predict("w", "out")
        return function(frames)

    network.function = refused
    assert predict("w/a.mp4", "out", network=network).done == 1 and len(files) == 3


def test_a_killed_process_leaves_a_folder_of_frames_one(tree):
    """The outputs may be written into it."""
    for k in range(6):
        cv2.imwrite(str(tree / f"v/{k}.png"), np.zeros((32, 32, 3), np.uint8))
    (tree / "v/a.mp4").unlink()
    hidden = tree / "v" / f".predict.{'0' * 32}"
    hidden.mkdir()
    (hidden / "v.csv").write_text("half")
    outcome = predict("v", "v", FILM)
    assert (outcome.done, outcome.skipped, hidden.exists()) == (1, (), False)
    assert (predict("v", "v", FILM).before, len(list((tree / "v").glob("?.png")))) == (1, 6)


def test_a_link_with_the_name_of_a_hidden_folder_is_left_alone(tree):
    (tree / "out").mkdir()
    os.symlink(tree / "w", tree / "out" / f".predict.{'0' * 32}")
    predict("w/a.mp4", "out")
    assert len(list((tree / "w").iterdir())) == 2


def test_temporary_files_are_not_listed(tree):
    mark = "0123456789abcdef" * 2
    for name in (f".a_flo.{mark}/1.flo", f".a.npz.{mark}.raw", ".a.afn-flow/a.flo", ".mine"):
        (tree / "w" / name).parent.mkdir(exist_ok=True)
        (tree / "w" / name).write_text("x")
    assert [item.path for item in predict("w", "out").skipped] == ["w/.mine"]
