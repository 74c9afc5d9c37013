"""Results of flow in their places: nothing of others is replaced, and nothing hidden stays."""

import json
import os
import subprocess
import sys

import pytest

from afn_jax.data.sources.mark import MARK_FILE, mark_folder
from afn_jax.predict.flow.results import check_free, results
from tests.conftest import ROOT


def put(stem, *names, overwrite=False, folder=False):
    """Writes results with the text "new"."""
    paths = [stem.with_name(name) for name in names]
    with results(stem, paths, overwrite=overwrite) as written:
        for path in written:
            if folder:
                path.mkdir()
                mark_folder(path)
                path = path / "000000.flo"
            path.write_text("new")


def listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_results_appear_together(tmp_path):
    stem = tmp_path / "new" / "folder" / "a"
    paths = [stem.with_suffix(".png"), stem.with_suffix(".flo"), stem.with_suffix(".npz")]
    with results(stem, paths, overwrite=False) as written:
        for path in written[:2]:  # the third one has no flow
            path.write_text("new")
        assert not any(path.exists() for path in paths)
    assert listed(stem.parent) == ["a.flo", "a.png"]


def test_an_error_leaves_only_older_results(tmp_path):
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        with results(tmp_path / "a", [tmp_path / "a.png"], overwrite=True) as (path,):
            path.write_text("half")
            raise KeyboardInterrupt
    assert listed(tmp_path) == ["a.png"] and (tmp_path / "a.png").read_text() == "old"


@pytest.mark.parametrize("letter", ["n", "é"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, letter):
    name = letter * (250 // len(letter.encode()))
    put(tmp_path / name, f"{name}.npz")
    assert listed(tmp_path) == [f"{name}.npz"]


def test_older_results_are_replaced_only_on_request(tmp_path):
    put(tmp_path / "a", "a.npz")
    put(tmp_path / "a", "a_flo", folder=True)
    (tmp_path / "link.npz").symlink_to("gone")
    for name in ("a.npz", "a_flo", "link.npz"):
        with pytest.raises(ValueError, match=f"out: .*{name} exists already.*--overwrite"):
            put(tmp_path / "a", name)
    (tmp_path / "a.npz").write_text("old")
    (tmp_path / "a_flo" / "000001.flo").write_text("old")
    put(tmp_path / "a", "a.npz", overwrite=True)
    put(tmp_path / "a", "a_flo", folder=True, overwrite=True)
    assert (tmp_path / "a.npz").read_text() == "new"
    assert listed(tmp_path / "a_flo") == [MARK_FILE, "000000.flo"]
    assert listed(tmp_path)[0] == "a.npz"


def test_folders_of_others_are_never_replaced(tmp_path):
    frames, notes = tmp_path / "frames_png", tmp_path / "notes_png"
    frames.mkdir()
    (frames / "000000.png").write_text("mine")
    notes.mkdir()
    mark_folder(notes)
    (notes / "notes.txt").write_text("mine")
    for folder, has in ((frames, "it has no .afn_jax.json"), (notes, "such as notes.txt")):
        with pytest.raises(ValueError, match=f"{folder.name} is not replaced, because .*{has}"):
            check_free([folder], overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_appears_meanwhile_stays(tmp_path, overwrite):
    path = tmp_path / "a_flo"
    with pytest.raises(ValueError, match="a_flo"):
        with results(tmp_path / "a", [path], overwrite=overwrite) as (written,):
            written.mkdir()
            path.mkdir()
            (path / "mine.txt").write_text("mine")
    assert listed(tmp_path) == ["a_flo", "a_flo/mine.txt"]


def test_one_process_at_a_time_has_a_name(tmp_path):
    path = tmp_path / "a.npz"
    with results(tmp_path / "a", [path], overwrite=True) as (written,):
        with pytest.raises(ValueError, match="out: another afn-jax flow is writing .*a. Wait"):
            put(tmp_path / "a", "a_flo", overwrite=True)
        put(tmp_path / "b", "b.npz")
        written.write_text("first")
    assert path.read_text() == "first" and listed(tmp_path) == ["a.npz", "b.npz"]


def test_errors_name_the_result(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError) as missing:
        with results(tmp_path / "a", [tmp_path / "a.png", path], overwrite=False) as (_, written):
            open(written)
    assert missing.value.filename == str(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from afn_jax.predict.flow.results import results
with results(Path(sys.argv[1]), [Path(sys.argv[1] + "_flo")], overwrite=False) as (written,):
    written.mkdir()
    (written / "000000.flo").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed_by_the_next_in_the_folder(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], env=environment)
    (left,) = tmp_path.iterdir()
    assert left.name == ".a.afn-flow" and (left / "a_flo").is_dir()
    owner = json.loads((left / "lock").read_text())
    others = {"x": "", "y": json.dumps(owner | {"host": "another"}), "z": "[1]"}
    for name, text in others.items():
        (tmp_path / f".{name}.afn-flow").mkdir()
        (tmp_path / f".{name}.afn-flow" / "lock").write_text(text)
    (tmp_path / ".n.afn-flow").mkdir()
    (tmp_path / ".link.afn-flow").symlink_to(tmp_path)
    put(tmp_path / "b", "b.npz")
    names = {path.name for path in tmp_path.iterdir()}
    kept = {f".{name}.afn-flow" for name in ("x", "y", "z", "n", "link")}
    assert names == {"b.npz"} | kept
