"""Errors and warnings as the user of a command sees them."""

import errno
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from afn_jax.command.errors import exit_cleanly
from train import errors as train_errors
from train.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def keep_format(monkeypatch):
    monkeypatch.delenv("AFN_JAX_TRACEBACK", raising=False)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)


def test_prints_an_error_without_a_traceback(capsys):
    with pytest.raises(SystemExit) as stopped, exit_cleanly():
        raise ValueError("steps: got -1; give 1 or more.")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "\nerror: steps: got -1; give 1 or more.\n"


def test_lets_errors_through_for_debugging(monkeypatch):
    monkeypatch.setenv("AFN_JAX_TRACEBACK", "1")
    with pytest.raises(ValueError, match="steps"), exit_cleanly():
        raise ValueError("steps")


def test_prints_our_warnings_as_one_line():
    with exit_cleanly():
        ours = warnings.formatwarning("no effect: width", UserWarning, "network.py", 7)
        other = warnings.formatwarning("old", DeprecationWarning, "library.py", 9)
    assert ours == "warning: no effect: width\n"
    assert other == "library.py:9: DeprecationWarning: old\n"


def test_a_full_disk_is_told_with_what_is_kept_and_what_to_do(capsys):
    with pytest.raises(SystemExit), exit_cleanly():
        raise OSError(errno.ENOSPC, "No space left on device", "runs/a/eval.json")
    error = capsys.readouterr().err
    assert "No space left on device: 'runs/a/eval.json'. The file is as it was before." in error
    assert "run the same command again" in error


def test_a_full_disk_under_a_folder_speaks_of_no_file(capsys, tmp_path):
    with pytest.raises(SystemExit), exit_cleanly():
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
    error = capsys.readouterr().err
    assert "Free space" in error and "file is as" not in error


def test_a_full_disk_of_an_unknown_file_promises_nothing(capsys):
    with pytest.raises(SystemExit), exit_cleanly():
        raise OSError(errno.ENOSPC, "No space left on device")
    error = capsys.readouterr().err
    assert "Free space" in error and "file is as" not in error


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Choose another place"),
        (errno.EROFS, "can be written"),
        (errno.ENOENT, "Check the spelling"),
        (errno.EIO, ""),
    ],
)
def test_errors_of_the_system_have_no_number(number, advice, capsys):
    with pytest.raises(SystemExit), exit_cleanly():
        raise OSError(number, os.strerror(number), "a/b")
    error = capsys.readouterr().err
    assert f"error: {os.strerror(number)}: 'a/b'" in error and advice in error
    assert "Errno" not in error


@pytest.mark.parametrize(
    ("clean", "how"),
    [(exit_cleanly, "'afn_jax-0"), (train_errors.exit_cleanly, "-e '.[train]'")],
)
def test_a_missing_package_is_told_with_its_installation(clean, how, capsys):
    with pytest.raises(SystemExit), clean():
        import no_such_package  # noqa: F401
    error = capsys.readouterr().err
    assert "No module named 'no_such_package'" in error and f"pip install {how}" in error


def test_a_missing_part_of_the_package_suggests_no_installation(capsys):
    with pytest.raises(SystemExit), exit_cleanly():
        import afn_jax.no_such_part  # noqa: F401
    assert "pip install" not in capsys.readouterr().err


def test_only_training_expects_its_own_errors(capsys):
    with pytest.raises(SystemExit), train_errors.exit_cleanly():
        raise CheckpointError("checkpoint 7 is damaged")
    assert capsys.readouterr().err == "\nerror: checkpoint 7 is damaged\n"
    with pytest.raises(CheckpointError), exit_cleanly():
        raise CheckpointError("checkpoint 7 is damaged")


def test_says_nothing_if_the_reader_of_its_output_has_gone():
    code = (
        "from afn_jax.command.errors import exit_cleanly\n"
        "with exit_cleanly():\n"
        "    for number in range(10**6): print(number)"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -n 1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
