"""Runs `python -m eval action` and `fuse` as a user does, and checks the lines they print."""

import re

import pytest

from eval.action import result_line

NUM_VIDEOS = 10
LINE = re.compile(
    r"^top1=(?P<top1>[\d.e-]+) top5=(?P<top5>[\d.e-]+) chance=0.125 epe=(?P<epe>[\d.e+-]+) "
    r"zero_flow_epe=(?P<zero>[\d.e+-]+) report=(?P<report>\S+)$"
)


def test_result_line():
    values = {
        "top1": 0.93333333,
        "top5": 1.0,
        "chance": 0.125,
        "epe": 0.31234567,
        "zero_flow_epe": 1.5,
        "report": "runs/a/report.html",
        "step": 3,
    }
    match = LINE.match(result_line(values))
    assert float(match["top1"]) == 0.9333 and float(match["epe"]) == 0.3123
    assert match["report"] == "runs/a/report.html"
    flow = {name: values[name] for name in ("epe", "zero_flow_epe", "report")}
    assert result_line(flow) == "epe=0.3123 zero_flow_epe=1.5 report=runs/a/report.html"


@pytest.mark.slow
def test_commands_with_a_real_network(tmp_path, monkeypatch, run_main):
    """Trains, evaluates and fuses; only the compilation cache is replaced."""
    monkeypatch.setattr("eval.__main__.COMPILATION_CACHE", "")
    run_dir = tmp_path / "run"
    code, out, err = run_main(
        *("train", "actionflownet", "--scale", "toy"),
        *("--run-dir", run_dir, "--steps", 1, "--batch-size", 4, "--compilation-cache", ""),
        *("--data.num-frames", 4, "--data.size", 16, 16, "--data.test-videos", NUM_VIDEOS),
        *("--model.width", 2, "--model.flow-stride", 4, "--test-every", 0, "--max-devices", 1),
    )
    assert (code, err) == (0, "")
    printed = out.strip().splitlines()[-1].removeprefix("evaluate it with: python -m eval ")
    code, out, err = run_main("eval", *printed.split())
    assert (code, err) == (0, "")
    match = LINE.match(out.strip().splitlines()[-1])
    assert match and match["report"] == str(run_dir / "report.html")
    assert float(match["epe"]) > 0 and float(match["zero"]) > 0
    assert (run_dir / "report.html").exists()
    code, out, err = run_main("eval", "fuse", "--scores", run_dir, run_dir)
    assert (code, err) == (0, "")
    assert out.strip().splitlines()[-1].startswith(f"top1={match['top1']} low=")


def test_mistakes_end_with_a_message(tmp_path, monkeypatch, run_main):
    monkeypatch.setattr("eval.__main__.COMPILATION_CACHE", "")
    code, _, err = run_main("eval", "action", "--run", tmp_path)
    assert code == 1
    assert "error: " in err and "is not a run folder" in err and "Traceback" not in err
    for arguments, expected, message in (
        (["action"], 1, "with --run"),
        (["action", "--run", tmp_path, "--protocol", "hts"], 2, "--protocol"),
        (["fuse"], 1, "with --scores"),
        (["fuse", "--scores", tmp_path], 1, "does not exist"),
        (["fuse", "--scores", tmp_path, "--distributed", "auto"], 2, "fuse runs in one process"),
        (["action", "--run", tmp_path, "--process-id", "1"], 2, "need --distributed HOST:PORT"),
    ):
        code, _, err = run_main("eval", *arguments)
        assert code == expected and message in err and "Traceback" not in err
