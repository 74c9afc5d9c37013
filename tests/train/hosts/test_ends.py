"""How a run on two processes ends if one is asked to stop, fails or is killed."""

import signal
import socket
import time

import pytest

from tests.class_folders import write_classes
from tests.train.hosts.processes import (
    finish,
    free_port,
    losses,
    saved_steps,
    start,
    start_several,
    train_in,
)

LONG = ("--steps", "100000", "--checkpoint-every", "20", "--optim.schedule", "constant")


def wait_for_step(run_dir, step, processes):
    while not losses(run_dir) or losses(run_dir)[-1][0] < step:
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_signal_to_one_process_stops_both_saved_and_a_kill_ends_the_other(tmp_path):
    options = ("--run-dir", tmp_path, *LONG)
    processes = start_several(options)
    wait_for_step(tmp_path, 5, processes)
    processes[1].send_signal(signal.SIGTERM)
    (code, out, err), (other_code, other_out, other_err) = finish(processes)
    assert (code, err, other_code, other_out, other_err) == (130, "", 130, "", "")
    assert "saved; the same command continues from there" in out
    stopped = saved_steps(tmp_path)[-1]
    assert losses(tmp_path)[-1][0] == stopped

    # The same command goes on. A killed process ends the other one.
    processes = start_several(options)
    wait_for_step(tmp_path, stopped + 30, processes)
    processes[1].kill()
    started = time.monotonic()
    (code, out, err), _ = finish(processes, timeout=60)
    assert time.monotonic() - started < 50
    assert f"resumed at step {stopped}" in out
    assert code == 1 and "error: " in err and "another process has ended" in err
    saved = saved_steps(tmp_path)[-1]
    assert stopped < saved and saved % 20 == 0

    # So it does without process 0, and one process can finish what two began.
    processes = start_several(options)
    wait_for_step(tmp_path, saved + 25, processes)
    processes[0].kill()
    _, (code, out, err) = finish(processes, timeout=60)
    assert (code, out) == (1, "") and "error: " in err and "another process has ended" in err
    last = saved_steps(tmp_path)[-1]
    text = train_in(tmp_path, *LONG, "--steps", str(last + 1))
    assert f"resumed at step {last}" in text


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_that_do_not_fit_together_name_the_host(tmp_path):
    """Settings, the run folder and data are compared before the first step."""
    (code, _, err), (other_code, _, other_err) = finish(
        start_several(("--run-dir", tmp_path / "run"), own=({}, {"options": ("--test-every", "2")}))
    )
    assert (code, other_code) == (1, 1)
    assert "error: process 1 on " in err and "test_every: 2, not 0" in err
    assert "error: process 1 on " in other_err

    folders = [tmp_path / "host0", tmp_path / "host1"]
    for folder in folders:
        folder.mkdir()
    own = tuple({"options": ("--run-dir", folder / "run")} for folder in folders)
    ends = finish(start_several((), own=own))
    for code, _, err in ends:
        assert code == 1
        assert "error: run_dir: process 1 on " in err and "does not see in" in err
        assert "give --run-dir on a shared file system" in err
    assert not (folders[0] / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_host_with_other_videos_is_named(tmp_path):
    roots = [write_classes(tmp_path / name, "run", "walk") for name in ("a", "b")]
    next((roots[1] / "walk").glob("*.avi")).unlink()
    options = (
        *("--run-dir", tmp_path / "run", "--data", "video-folder", "--objective.flow", "none"),
        *("--data.num-frames", "2"),
    )
    own = tuple({"options": ("--data.root", root)} for root in roots)
    for code, _, err in finish(start_several(options, own=own)):
        assert code == 1
        assert "error: data: process 1 on " in err and "has other " in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_that_finds_no_other_says_so_within_its_time_limit_or_is_interrupted():
    port, started = free_port(), time.monotonic()
    several = ("--num-processes", "2", "--process-id")
    processes = [
        start(("--distributed", f"localhost:{port}", *several, "0")),
        start(("--distributed", "localhost:9", *several, "1", "--distributed-timeout", "1")),
    ]
    while processes[0].poll() is None and not listens(port):
        time.sleep(0.05)
    processes[0].send_signal(signal.SIGINT)
    (code, out, err), (other_code, other_out, other_err) = finish(processes)
    assert time.monotonic() - started < 60
    assert (code, out, err) == (130, "", "\ninterrupted\n")
    assert (other_code, other_out) == (1, "")
    assert "error: --distributed: process 0 does not answer at localhost:9" in other_err
    assert "after 1 seconds" in other_err


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0
