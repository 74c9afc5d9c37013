"""What the processes of a run tell each other. With one process, nothing is exchanged."""

import dataclasses
import os
import pickle
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from afn_jax.data.source import Skipped
from train.hosts.connect import this_process
from train.hosts.ending import AGAIN

_SMALLEST = 1024  # bytes; each length is compiled once, so lengths are powers of two
_PATIENCE_S = 10.0  # guessed: for how long a failed process waits to tell the others why


class OtherProcessFailed(RuntimeError):
    """Another process has failed; the message names it and says why."""


# Errors of collectives, some as ValueError, begin with the name of a status.
_STATUS = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED)\\b")


def lost_process(error: BaseException) -> str:
    """Says that an error means that another process has ended; "" if it means something else."""
    several = jax.process_count() > 1 and isinstance(error, RuntimeError | ValueError)
    if not (several and _STATUS.match(str(error))):
        return ""
    first = str(error).splitlines()[0]
    return f"another process has ended; its output says why ({first})."


@contextmanager
def explains_lost_process() -> Iterator[None]:
    """Raises OtherProcessFailed in place of the error of a collective."""
    try:
        yield
    except Exception as error:
        if text := lost_process(error):
            raise OtherProcessFailed(f"{text} {AGAIN}") from error
        raise


def leads() -> bool:
    """Whether this is the process that writes files and prints."""
    return jax.process_index() == 0


def by_first(write: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Calls `write` in process 0 only."""
    if leads():
        write(*arguments, **named)


def found_by_first(find: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what `find` returns in process 0, in all processes. All have to call it."""
    return gather(find(*arguments) if leads() else None)[0]


@dataclasses.dataclass(frozen=True)
class _Failure:
    """Sent by a process that failed, in place of a value."""

    text: str


def gather(value: Any) -> list[Any]:
    """Returns the values of all processes, in their order. All have to call it.

    Args:
        value: anything that `pickle` can write; arrays arrive bit for bit.

    Raises:
        OtherProcessFailed: another process has failed in `fails_together`.
    """
    values = _exchange(value)
    for item in values:
        if isinstance(item, _Failure):
            raise OtherProcessFailed(item.text)
    return values


def _exchange(value: Any) -> list[Any]:
    if jax.process_count() == 1:
        return [value]
    sent = np.frombuffer(pickle.dumps(value), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(sent))).ravel()
    size = _SMALLEST
    while size < lengths.max():
        size *= 2
    received = multihost_utils.process_allgather(np.pad(sent, (0, size - len(sent))))
    return [
        pickle.loads(part[:length].tobytes())
        for part, length in zip(received, lengths, strict=True)
    ]


def gather_skipped(own: Sequence[Skipped]) -> list[Skipped]:
    """Returns the skipped files of all processes."""
    return [item for part in gather(list(own)) for item in part]


def wait_for_all() -> None:
    """Returns once all processes have called it."""
    gather(None)


def from_first(tree: Any) -> Any:
    """Returns the arrays of process 0 in all processes."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.broadcast_one_to_all(jax.device_get(tree))


@contextmanager
def fails_together() -> Iterator[None]:
    """Raises an error of one process in all of them, when they next exchange something.

    That is at the end of the block at the latest. If the others are busy, a failed process does
    not wait for them, but prints its error and ends. They notice that within the time limit of
    `--distributed-timeout`.

    Raises:
        OtherProcessFailed: the block failed elsewhere, but not here.
    """
    try:
        yield
    except OtherProcessFailed:
        raise
    except Exception as error:
        if not lost_process(error):
            _tell(error)
        raise
    gather(None)


def _tell(error: Exception) -> None:
    """Sends an error to the other processes, if they listen in time."""
    leaving = threading.Timer(_PATIENCE_S, _leave, (error,))
    leaving.daemon = True
    leaving.start()
    with suppress(Exception):  # the first error tells more
        _exchange(_Failure(f"{this_process()}: {error}"))
    leaving.cancel()


def _leave(error: Exception) -> None:
    print(f"\nerror: {error}", file=sys.stderr, flush=True)
    os._exit(1)
