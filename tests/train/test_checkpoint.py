import dataclasses
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import chex
import pytest

from tests.train.saved_states import CONFIG, LARGE, make_state, restore, save
from train import config_file
from train.checkpoint import CONFIG_FILE, CheckpointError, Checkpoints, load_config, load_state

ROOT = Path(__file__).resolve().parents[2]


def saved_steps(run_dir):
    return sorted(int(p.name) for p in (run_dir / "checkpoints").iterdir() if p.name.isdigit())


def contents(folder):
    """Returns the contents of all files in a folder, by path."""
    return {p: p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def cut_in_half(checkpoint):
    """Truncates the largest files, as a full disk or an interrupted copy does."""
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.stat().st_size)[-3:]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def assert_equal(found, right):
    chex.assert_trees_all_equal(found, right, strict=True)


def test_restores_every_bit(tmp_path):
    save(tmp_path, [3])
    (state, data), warnings = restore(tmp_path)
    assert_equal(state, make_state(3))
    assert data == {"next_index": 12}
    assert list(warnings) == []


def test_restores_nothing_from_an_empty_folder(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() is None
    assert checkpoints.restore(make_state(0)) is None
    checkpoints.close()


@pytest.mark.parametrize("keep", [1, 2])
def test_keeps_the_latest_checkpoints(tmp_path, keep):
    save(tmp_path, [1, 2, 3, 4], keep)
    assert saved_steps(tmp_path) == [1, 2, 3, 4][-keep:]
    (state, _), _ = restore(tmp_path)
    assert int(state.step) == 4


def test_saves_a_step_only_once(tmp_path):
    save(tmp_path, [2])
    before = contents(tmp_path)
    save(tmp_path, [2])
    assert contents(tmp_path) == before


def test_settings_are_in_the_checkpoint(tmp_path):
    save(tmp_path, [2])
    files = [*(tmp_path / "checkpoints" / "2" / "config").glob("*")]
    values = [json.loads(path.read_text()) for path in files if "seed" in path.read_text()]
    assert [config_file.from_values(value, "config") for value in values] == [CONFIG]


def test_skips_a_damaged_checkpoint(tmp_path):
    save(tmp_path, [2, 4])
    cut_in_half(tmp_path / "checkpoints" / "4")
    (state, data), warnings = restore(tmp_path)
    assert_equal(state, make_state(2))
    assert data == {"next_index": 8}
    assert len(warnings) == 1 and "damaged checkpoint, step 4" in warnings[0]
    assert saved_steps(tmp_path) == [2]
    assert (tmp_path / "damaged-checkpoint-4").is_dir()
    save(tmp_path, [4])  # the resumed run reaches step 4 again
    (state, _), warnings = restore(tmp_path)
    assert (int(state.step), list(warnings)) == (4, [])


def test_sets_aside_the_same_step_damaged_twice(tmp_path):
    save(tmp_path, [2, 4])
    for _ in range(2):
        cut_in_half(tmp_path / "checkpoints" / "4")
        (state, _), _ = restore(tmp_path)
        assert int(state.step) == 2
        save(tmp_path, [4])


def test_abandoned_reads_print_no_traceback(tmp_path):
    """Runs in a separate process: the reads end after the failure, in other threads."""
    code = (
        "import sys, gc, time\n"
        "from pathlib import Path; from tests.train import saved_states as s\n"
        "folder = Path(sys.argv[1]); s.save(folder, [2, 4], size=s.LARGE)\n"
        "state = folder / 'checkpoints/4/state'\n"
        "largest = max(state.rglob('*'), key=lambda p: p.stat().st_size)\n"
        "largest.write_bytes(largest.read_bytes()[:1000])\n"
        "print(s.restore(folder, size=s.LARGE)[1]); time.sleep(0.2); gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert "damaged checkpoint, step 4" in done.stdout and "pybind" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("item", ["state", "data"])
def test_skips_a_checkpoint_with_a_missing_part(tmp_path, item):
    save(tmp_path, [2, 4])
    for path in (tmp_path / "checkpoints" / "4" / item).rglob("*"):
        if path.is_file():
            path.unlink()
    (state, _), warnings = restore(tmp_path)
    assert int(state.step) == 2 and len(warnings) == 1


def test_rejects_a_run_whose_checkpoints_are_all_damaged(tmp_path):
    save(tmp_path, [2, 4])
    for step in (2, 4):
        cut_in_half(tmp_path / "checkpoints" / str(step))
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*step 4.*step 2.*") as error:
        restore(tmp_path)
    assert "nothing was changed" in str(error.value) and "--run-dir" in str(error.value)
    assert contents(tmp_path) == before


def test_rejects_the_checkpoint_of_another_network(tmp_path):
    save(tmp_path, [2], size=7)
    with pytest.raises(CheckpointError, match="belong to another model"):
        restore(tmp_path, size=6)


@contextmanager
def files_no_larger_than(size):
    """Makes writes beyond a file size fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_failed_write_leaves_older_checkpoints_intact(tmp_path):
    save(tmp_path, [2], size=LARGE)
    before = contents(tmp_path / "checkpoints" / "2")
    checkpoints = Checkpoints(tmp_path)
    with files_no_larger_than(100_000):
        with pytest.raises(CheckpointError, match="cannot write the checkpoint of step 4") as error:
            checkpoints.save(make_state(4, LARGE), {}, CONFIG)
    checkpoints.close()
    assert "the checkpoint of step 2 is intact" in str(error.value)
    assert "run the same command again" in str(error.value)
    assert contents(tmp_path / "checkpoints" / "2") == before
    (state, _), warnings = restore(tmp_path, LARGE)
    assert (int(state.step), list(warnings)) == (2, [])
    save(tmp_path, [4], size=LARGE)
    assert saved_steps(tmp_path) == [2, 4]
    assert_equal(restore(tmp_path, LARGE)[0][0], make_state(4, LARGE))


def test_removes_unfinished_checkpoints_before_anything_else(tmp_path):
    """In a thread, the removal would meet that of the next manager of the same folder."""
    save(tmp_path, [2])
    left = tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp"
    for number in range(300):
        path = left / "state" / str(number) / "array"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0")
    load_state(tmp_path, make_state(0))
    assert left.is_dir()  # reading changes nothing
    checkpoints = Checkpoints(tmp_path)
    assert not left.exists()
    checkpoints.close()
    assert saved_steps(tmp_path) == [2]


def test_a_failed_first_write_says_that_nothing_is_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with files_no_larger_than(100_000):
        with pytest.raises(CheckpointError, match="Earlier work: none is saved"):
            checkpoints.save(make_state(4, LARGE), {}, CONFIG)
    checkpoints.close()
    assert restore(tmp_path, LARGE)[0] is None


def test_load_state_and_config(tmp_path):
    config_file.save(CONFIG, tmp_path / CONFIG_FILE)
    with pytest.raises(CheckpointError, match="has no checkpoint yet. Run the command"):
        load_state(tmp_path, make_state(0))
    save(tmp_path, [2, 4])
    assert load_config(tmp_path) == CONFIG
    assert_equal(load_state(tmp_path, make_state(0)), make_state(4))


def test_rejects_a_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(ValueError, match="is not a run folder"):
        load_config(tmp_path)


def test_reading_a_state_changes_nothing(tmp_path):
    save(tmp_path, [2, 4])
    cut_in_half(tmp_path / "checkpoints" / "4")
    before = contents(tmp_path)
    assert int(load_state(tmp_path, make_state(0)).step) == 2
    assert contents(tmp_path) == before


def test_accepts_a_template_of_shapes(tmp_path):
    save(tmp_path, [2])
    template = make_state(0)
    kept = dataclasses.replace(template)
    restore(tmp_path)
    assert_equal(template, kept)
