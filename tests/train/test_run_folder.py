"""Which folders a run accepts, resumes and rejects."""

import dataclasses
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.loop_runs import contents, run
from train import config_file
from train.checkpoint import CONFIG_FILE, load_config
from train.config import InitConfig
from train.run_folder import LOCK_FILE, run_lock

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("small_network")


def test_rejects_another_run_and_lists_the_differences(config):
    run(dataclasses.replace(config, steps=1))
    before = contents(config.run_dir)
    other = dataclasses.replace(
        config, seed=9, recipe="another", data=dataclasses.replace(config.data, prefetch=9)
    )
    other = dataclasses.replace(other, data=dataclasses.replace(other.data, train_videos=77))
    with pytest.raises(ValueError, match="holds a run with other settings") as error:
        run(other)
    for line in (
        "recipe: 'actionflownet' in the folder, 'another' now",
        "seed: 0 in the folder, 9 now",
        f"data.train_videos: {config.data.train_videos} in the folder, 77 now",
        "nothing was changed",
    ):
        assert line in str(error.value)
    assert "steps" not in str(error.value)
    assert contents(config.run_dir) == before


def test_accepts_a_folder_whose_run_ended_before_its_first_checkpoint(config):
    """After a run that failed because of a wrong value, the corrected command is accepted."""
    folder = Path(config.run_dir)
    folder.mkdir()
    config_file.save(dataclasses.replace(config, seed=9), folder / CONFIG_FILE)
    (folder / "checkpoints").mkdir()
    result, text = run(dataclasses.replace(config, steps=1))
    assert result.finished and "fresh start" in text
    assert config_file.load(folder / CONFIG_FILE).seed == config.seed


def test_a_moved_dataset_is_the_same_run(config):
    moved = dataclasses.replace(config, data=dataclasses.replace(config.data, root="/elsewhere"))
    assert config_file.differences(config, moved) == {}


@pytest.fixture
def holder(config):
    """Starts another process that holds the lock of the run folder."""
    code = (
        "import sys, time; from pathlib import Path; from train.run_folder import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('locked', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, config.run_dir], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_rejects_a_folder_in_which_another_process_trains(config, holder):
    message = f"process {holder.pid} on {socket.gethostname()} trains in it.*--run-dir"
    with pytest.raises(ValueError, match=message):
        run(config)
    assert [path.name for path in Path(config.run_dir).iterdir()] == [LOCK_FILE]


def test_a_killed_process_leaves_no_lock(config, holder):
    holder.kill()
    holder.wait()
    assert run(dataclasses.replace(config, steps=1))[0].finished
    assert (Path(config.run_dir) / LOCK_FILE).read_text() == ""


@pytest.mark.parametrize("content", ['{"pid": 7, "host": "elsewhere"}', ""])
def test_accepts_a_lock_file_without_a_holder(config, content):
    """Older versions left such files too."""
    folder = Path(config.run_dir)
    folder.mkdir()
    (folder / LOCK_FILE).write_text(content)
    assert run(dataclasses.replace(config, steps=1))[0].finished


def test_a_folder_made_for_a_run_that_wrote_nothing_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with run_lock(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


def test_no_resume_rejects_an_existing_run(config):
    run(dataclasses.replace(config, steps=1))
    before = contents(config.run_dir)
    with pytest.raises(ValueError, match="already holds a run and --no-resume was given"):
        run(dataclasses.replace(config, resume=False))
    assert contents(config.run_dir) == before


def test_no_resume_starts_in_a_new_folder(config):
    result, text = run(dataclasses.replace(config, steps=1, resume=False))
    assert result.finished and "fresh start" in text


def test_a_resumed_run_keeps_what_it_started_from(config):
    run(dataclasses.replace(config, steps=1))
    other = dataclasses.replace(config, steps=2, init=InitConfig(run="elsewhere"))
    result, text = run(other)
    assert result.finished and "init.run: 'elsewhere' is not read: this run has already" in text
    assert load_config(Path(config.run_dir)).init.run == ""


def test_a_resumed_run_may_have_another_run_skip(config):
    """Runs of an earlier version have patterns there that recipes no longer need."""
    run(dataclasses.replace(config, steps=1, init=InitConfig(run_skip=("^temporal/",))))
    result, text = run(dataclasses.replace(config, steps=2))
    assert result.finished and "is not read" not in text


def test_rejects_a_folder_that_is_not_a_run(config):
    folder = Path(config.run_dir)
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds files but no config.json.*nothing was changed"):
        run(config)
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]


def test_accepts_an_empty_folder(config):
    Path(config.run_dir).mkdir()
    assert run(dataclasses.replace(config, steps=1))[0].finished


def test_rejects_a_file_in_place_of_the_folder(config, monkeypatch, run_main):
    Path(config.run_dir).write_text("precious")
    monkeypatch.setattr("train.cli.parse_chain", lambda arguments: [config])
    code, _, stderr = run_main("train")
    assert code == 1 and config.run_dir in stderr
    assert Path(config.run_dir).read_text() == "precious"


def test_default_folder_is_named_after_the_recipe(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, _ = run(dataclasses.replace(config, run_dir="", steps=1))
    assert result.run_dir == Path("runs/actionflownet-toy")
    assert (tmp_path / "runs" / "actionflownet-toy" / CONFIG_FILE).exists()
