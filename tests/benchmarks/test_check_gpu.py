"""What is measured on a GPU: the comparison with the CPU, and the steps of `make check-gpu`."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import check_gpu, device_numbers
from benchmarks.check_gpu import Step, main, run, steps


@pytest.mark.parametrize("name", ["warp", "cost volume", "resize"])
def test_a_device_agrees_with_itself(name):
    assert device_numbers.compare(*device_numbers.cases()[name]) == {"values": 0, "gradients": 0}


def test_wrong_numbers_are_found(monkeypatch, capsys):
    def shortened(x):  # only outside of the CPU, which runs second
        calls.append(None)
        return x.astype(jnp.bfloat16).astype(x.dtype) if len(calls) == 1 else 1.0 * x

    calls: list[None] = []
    x = np.linspace(1, 2, 99, dtype=np.float32)
    monkeypatch.setattr(device_numbers, "cases", lambda: {"warp": (shortened, (x,))})
    assert device_numbers.main([]) == 1
    assert "WRONG warp: values 1" in capsys.readouterr().out  # 2^-9, half a unit in the last place


def test_there_is_a_clear_error_without_a_gpu(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert "JAX finds no GPU or TPU" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--only", "motion"])
    assert "got 'motion'; the steps are numbers, motion-ops" in capsys.readouterr().err


def test_a_step_that_fails_or_hangs_does_not_stop_the_others(monkeypatch, tmp_path, capsys):
    programs = {"ok": "print('right')", "bad": "raise SystemExit(3)", "hangs": "while True: pass"}
    chosen = [Step(name, ("-c", code), 0.05) for name, code in programs.items()]
    monkeypatch.setattr(check_gpu, "steps", lambda folder: chosen)
    monkeypatch.setattr(check_gpu.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(check_gpu, "_free_the_device", lambda: None)
    assert main(["--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0].startswith("ok: ok, ") and lines[0].endswith("s: right")
    assert "bad: failed with exit code 3" in lines[1] and "hangs: ended after 0.05 min" in lines[2]
    assert lines[3].endswith("failed: bad, hangs")
    assert (tmp_path / "ok.txt").read_text() == "right\n"


def test_each_step_is_a_program_that_exists(tmp_path):
    names = [step.name for step in steps(tmp_path)]
    assert len(set(names)) == len(names)
    step = Step("help", ("-m", "benchmarks.check_gpu", "--help"), 1)
    assert run(step, tmp_path) and sys.executable
    for step in steps(tmp_path):
        module, *_ = step.arguments[1:] if step.arguments[0] == "-m" else step.arguments
        path = module if module.endswith(".py") else module.replace(".", "/")
        root = check_gpu.Path(check_gpu.__file__).parents[1]
        assert (root / path).exists() or (root / f"{path}.py").exists()
