"""How the process of a command ends."""

import os
import subprocess
import sys
import types

import pytest

from tests.conftest import ROOT

START = """
import os, signal, sys, threading, time
from afn_jax.command.errors import exit_cleanly
from afn_jax.command.process import run_as_process, work_starts

def interrupt(times):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # the system joins signals that come at once
"""


PRINT = "run_as_process(lambda: print('x'))"


def start(code, unbuffered="", **options):
    """Starts a script after `START`."""
    return subprocess.Popen(
        [sys.executable, "-c", START + code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        text=True,
        stderr=subprocess.PIPE,
        **options,
    )


def run(code, **options):
    """Runs a script after `START`; returns its exit code and what it printed."""
    process = start(code, stdout=subprocess.PIPE, **options)
    out, err = process.communicate(timeout=60)
    return types.SimpleNamespace(returncode=process.returncode, stdout=out, stderr=err)


@pytest.mark.parametrize(
    ("end", "code"), [("return 3", 3), ("return 0", 0), ("return None", 0), ("sys.exit('no')", 1)]
)
def test_exit_codes(end, code):
    done = run(f"def main():\n    print('done')\n    {end}\nrun_as_process(main)")
    assert (done.returncode, done.stdout) == (code, "done\n")
    assert done.stderr == "no\n" * ("no" in end)


CLEANING = """
def main():
    with exit_cleanly():
        try:
            interrupt(1)
            time.sleep(30)
        finally:
            interrupt({further})
            print("cleaned up")
threading.Thread(target=time.sleep, args=(30,)).start()  # Python would wait for it
run_as_process(main)
"""


def test_ctrl_c_during_clean_up_is_ignored():
    done = run(CLEANING.format(further=1))
    assert (done.returncode, done.stdout) == (130, "cleaned up\n")
    assert done.stderr == "\ninterrupted\n"


LOST = """
def main():
    with exit_cleanly():
        {first}
        try:
            interrupt({times})
            time.sleep(30)
        except BaseException:
            print("interrupted in an import")
            time.sleep(30)
run_as_process(main, starting=True)
"""


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_while_libraries_are_imported_ends_at_once(times):
    done = run(LOST.format(first="pass", times=times))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


def test_ctrl_c_in_a_callback_is_not_lost():
    """Python drops exceptions of callbacks, such as those of its garbage collector."""
    done = run(
        "class Callback:\n"
        "    def __del__(self):\n"
        "        interrupt(1)\n"
        "def main():\n"
        "    with exit_cleanly():\n"
        "        work_starts()\n"
        "        Callback()\n"
        "        time.sleep(30)\n"
        "run_as_process(main, starting=True)"
    )
    assert (done.returncode, done.stderr) == (130, "\ninterrupted\n")


def test_the_third_ctrl_c_ends_at_once():
    done = run(CLEANING.format(further=2))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_third_ctrl_c_ends_while_native_code_runs():
    """Python's handlers do not run while the main thread is inside of a library."""
    done = run(
        "import hashlib\n"
        "def main():\n"
        # More than three, because the system joins those that come at once.
        "    threading.Thread(target=interrupt, args=(200,)).start()\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**30)  # minutes\n"
        "run_as_process(main)"
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr


def test_ctrl_c_while_python_ends_changes_nothing():
    done = run(
        "def main():\n"
        "    import atexit\n"
        "    atexit.register(interrupt, 1)\n"
        "    class Last:\n"
        "        def __del__(self, kill=os.kill, process=os.getpid(), number=signal.SIGINT):\n"
        "            kill(process, number)\n"
        "    sys.last = Last()  # after Python has reset its handlers\n"
        "run_as_process(main)"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "wb") as full:
        process = start(PRINT, stdout=full)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error == "error: standard output: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flush", [False, True])
def test_lines_that_cannot_be_written(unbuffered, flush):
    """The error is not taken for that of a file, and comes once."""
    code = (
        "def main():\n"
        "    with exit_cleanly():\n"
        f"        for number in range(10**5): print(number, flush={flush})\n"
        "run_as_process(main)"
    )
    with open("/dev/full", "wb") as full:
        process = start(code, stdout=full, unbuffered=unbuffered)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error == "\nerror: standard output: No space left on device\n"


def test_a_closed_pipe_is_silent():
    read, write = os.pipe()
    os.close(read)
    process = start(PRINT, stdout=write)
    os.close(write)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 1


def test_an_ignored_ctrl_c_stays_ignored():
    done = run(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as nohup leaves it
        "run_as_process(lambda: interrupt(3))"
    )
    assert (done.returncode, done.stderr) == (0, "")
