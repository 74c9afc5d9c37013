"""Errors and warnings as the user of a command sees them."""

import warnings

import pytest

from train.errors import exit_cleanly


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
