"""Stopping a run by Ctrl-C or SIGTERM: the first signal asks, a second one interrupts."""

import dataclasses
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

SAME_REQUEST_S = 1.0  # guessed; schedulers may send SIGINT and SIGTERM together


@dataclasses.dataclass
class Stop:
    """The request to stop: which signal came first, and when."""

    signal: int | None = None
    at: float = 0.0

    @property
    def requested(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turns the first Ctrl-C or SIGTERM into a request; a second one interrupts immediately.

    The other of the two signals within a second of the first is the same request.
    """
    stop = Stop()

    def request(number, frame):
        now = time.monotonic()
        if not stop.requested:
            stop.signal, stop.at = number, now
        elif number == stop.signal or now - stop.at > SAME_REQUEST_S:
            raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
