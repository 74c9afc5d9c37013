"""The console script `afn-jax`: its usage, its subcommands and what they import."""

import subprocess
import sys
from pathlib import Path

import pytest

import afn_jax
from afn_jax.command.__main__ import SUBCOMMANDS, main
from tests.class_folders import write_class

ROOT = Path(__file__).resolve().parents[2]


def test_usage_and_version_need_only_python():
    """As with `python -S`, which has no installed packages."""
    for arguments in (["--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-S", "-m", "afn_jax.command", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        if "--version" in arguments:
            assert done.stdout == f"afn_jax {afn_jax.__version__}\n"
        else:
            assert all(f"  {name} " in done.stdout for name in SUBCOMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek", "folder"], "Did you mean check?"),
        (["videos.mp4"], "Allowed are predict, flow, check, prepare."),
        (["--out", "x"], "Write afn-jax COMMAND --out"),
        (["train"], "needs a checkout of the repository: python -m train"),
    ],
)
def test_rejects_what_is_not_a_command(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_no_command_is_an_error(capsys):
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "usage: afn-jax COMMAND" in output.err


@pytest.mark.parametrize("name", ["predict", "flow"])
def test_help_says_what_the_defaults_mean(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for unclear in (
        "(default: )",
        "(default: '')",
        "(default: None)",
        "Default:",
        "{None}",
        "[[STR",
    ):
        assert unclear not in text
    assert "frames per second. (default: 25)" in text
    assert "VIDEO ..." in text or "INPUT [SECOND]" in text


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_names_the_subcommand(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: afn-jax {name} " in capsys.readouterr().out


def test_checks_and_prepares_a_dataset(tmp_path, capsys):
    root, shards = tmp_path / "videos", tmp_path / "shards"
    write_class(root / "jump")
    write_class(root / "run", value=10)
    assert main(["check", str(root)]) == 0
    assert "no harmful problems found" in capsys.readouterr().out
    command = ["prepare", str(shards), "--data", "video-folder", "--data.root", str(root)]
    assert main([*command, "--data.num-frames", "6", "--workers", "1"]) == 0
    assert main(["check", str(root / "none")]) == 2
    assert (shards / "dataset.json").is_file()
