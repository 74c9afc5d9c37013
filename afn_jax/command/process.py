"""Runs a command as a process: Ctrl-C while it cleans up, and an end without a crash."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

INTERRUPTED = 130
_AGAIN = 0.05  # seconds; guessed
_AT_ONCE = 3  # this Ctrl-C does not wait for the clean-up


def run_as_process(main: Callable[[], int | None], *, starting: bool = False) -> NoReturn:
    """Calls `main` and ends the process with the exit code that it returns.

    If `starting`, Ctrl-C ends the process at once, with exit code 130, until `work_starts` is
    called: an exception would not pass through libraries that are being imported. Afterwards the
    first Ctrl-C raises KeyboardInterrupt. The second is ignored, because results are being
    completed and temporary files removed. The third ends the process at once, with exit code 130.

    After an error or Ctrl-C, or if the reader of the output has gone, Python does not clean up: it
    would wait for threads of the decoder and of XLA, or crash in them.
    """
    interrupts = _Interrupts.current = _Interrupts(starting)
    try:
        try:
            code = main() or 0
        finally:
            interrupts.over = True
    except SystemExit as stop:
        code = _number(stop.code)
    except KeyboardInterrupt:  # before the command handles it
        print("\ninterrupted", file=sys.stderr)
        code = INTERRUPTED
    code = code or _flush()
    if code or interrupts.count:
        _flush()
        _end_workers()
        os._exit(code)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python is about to reset it
    sys.exit(code)


def work_starts() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt from now on, because there is something to clean up."""
    if _Interrupts.current is not None:
        _Interrupts.current.starting = False


class _Interrupts:
    """Counts Ctrl-C.

    A handler of Python runs between two instructions of Python, not while XLA computes. So the last
    Ctrl-C is handled by a thread, to which the system's handler writes the signals.

    Attributes:
        count: how many the handler received.
        over: whether the command has ended, so that nothing is interrupted any more.
        starting: whether there is nothing to clean up yet.
        current: those of the process.
    """

    current: "_Interrupts | None" = None

    def __init__(self, starting: bool):
        self.count, self.over, self.starting = 0, False, starting
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return  # ignored, as under nohup
        self._received, self._sent = socket.socketpair()
        self._sent.setblocking(False)
        signal.signal(signal.SIGINT, self._handle)
        if hasattr(signal, "pthread_kill"):  # not on Windows
            sys.unraisablehook = self._handle_lost
        signal.set_wakeup_fd(self._sent.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="interrupts", daemon=True).start()

    def _handle(self, *_: object) -> None:
        if self.starting:
            with contextlib.suppress(OSError):
                os.write(2, b"\ninterrupted\n")
            os._exit(INTERRUPTED)
        self.count += 1
        if self.count == 1 and not self.over:
            raise KeyboardInterrupt

    def _handle_lost(self, lost: Any) -> None:
        """Raises KeyboardInterrupt again if it was lost, as in a callback of XLA."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
        elif not self.over:
            self.count = 0
            main_thread = threading.main_thread().ident
            threading.Timer(_AGAIN, signal.pthread_kill, (main_thread, signal.SIGINT)).start()

    def _watch(self) -> None:
        seen = 0
        while received := self._received.recv(64):
            seen += received.count(signal.SIGINT)
            if seen >= _AT_ONCE:
                os._exit(INTERRUPTED)


def _number(code: object) -> int:
    """Returns the number of an exit code, and prints one that is a message, as Python does."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _flush() -> int:
    """Flushes the output; returns 1 if it cannot be written. A closed pipe is not worth a word."""
    failed = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            failed = 1
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                with contextlib.suppress(OSError, ValueError):
                    print(
                        f"error: standard output: {getattr(error, 'strerror', None) or error}",
                        file=sys.stderr,
                    )
            with contextlib.suppress(OSError, ValueError):  # what is left would fail again
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return failed


def _end_workers() -> None:
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for worker in multiprocessing.active_children():
            worker.terminate()
