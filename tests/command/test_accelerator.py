"""Messages for users whose requested or expected device is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import afn_jax.command.accelerator as accelerator

ROOT = Path(__file__).resolve().parent.parent.parent


def start_in_a_new_process(platforms):
    code = (
        "from afn_jax.command.accelerator import start_jax\n"
        "try:\n    start_jax()\nexcept ValueError as error:\n    print('refused:', error)\n"
        "else:\n    import jax; print('started:', jax.default_backend())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    if platforms is not None:
        environment["JAX_PLATFORMS"] = platforms
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_starts_on_the_cpu_silently():
    output, errors = start_in_a_new_process("cpu")
    assert output.strip() == "started: cpu" and errors == ""


def test_rejects_a_platform_that_cannot_start():
    output, errors = start_in_a_new_process("no_such_platform")
    assert output.startswith("refused: JAX_PLATFORMS=no_such_platform: JAX cannot start")
    assert "use the CPU: JAX_PLATFORMS=cpu" in output
    assert "Traceback" not in output + errors


@pytest.mark.parametrize(("asked", "warned"), [("", True), ("cpu", False)])
def test_warns_if_gpu_wheels_find_no_gpu(monkeypatch, capsys, asked, warned):
    monkeypatch.setenv("JAX_PLATFORMS", asked)
    monkeypatch.setattr(
        accelerator.importlib.util,
        "find_spec",
        lambda name: object() if name == "jax_cuda12_plugin" else None,
    )
    accelerator.start_jax()
    errors = capsys.readouterr().err
    assert ("jax_cuda12_plugin is installed, but no such device is usable" in errors) == warned
