"""What the processes of a run tell each other. With one process, nothing is exchanged."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from afn_jax.data.source import Skipped
from train.hosts.connect import this_process

_SMALLEST = 1024  # bytes; each length is compiled once, so lengths are powers of two


class OtherProcessFailed(RuntimeError):
    """Another process has failed; the message names it and says why."""


# Errors of collectives, some as ValueError, begin with the name of a status.
_STATUS = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED)\\b")


def lost_process(error: BaseException) -> str:
    """Says that an error means that another process has ended; "" if it means something else."""
    several = jax.process_count() > 1 and isinstance(error, RuntimeError | ValueError)
    if not (several and _STATUS.match(str(error))):
        return ""
    return f"another process has ended, whose output says why ({str(error).splitlines()[0]})"


@contextmanager
def explains_lost_process() -> Iterator[None]:
    """Raises OtherProcessFailed in place of the error of a collective."""
    try:
        yield
    except Exception as error:
        if text := lost_process(error):
            raise OtherProcessFailed(text) from error
        raise


def leads() -> bool:
    """Whether this is the process that writes files and prints."""
    return jax.process_index() == 0


def by_first(write: Callable[..., Any], *arguments: Any) -> None:
    """Calls `write` in process 0 only."""
    if leads():
        write(*arguments)


def gather(value: Any) -> list[Any]:
    """Returns the values of all processes, in their order. All have to call it.

    Args:
        value: anything that `json` can write.
    """
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text))).ravel()
    size = _SMALLEST
    while size < lengths.max():
        size *= 2
    texts = multihost_utils.process_allgather(np.pad(text, (0, size - len(text))))
    return [
        json.loads(text[:length].tobytes()) for text, length in zip(texts, lengths, strict=True)
    ]


def gather_skipped(own: Sequence[Skipped]) -> list[Skipped]:
    """Returns the skipped files of all processes."""
    rows = gather([dataclasses.astuple(item) for item in own])
    return [Skipped(*row) for part in rows for row in part]


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
    """Raises an error of one process in all of them, which would otherwise wait for it.

    The block itself must not exchange anything.

    Raises:
        OtherProcessFailed: the block failed elsewhere, but not here.
    """
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    texts = gather(None if failure is None else f"{this_process()}: {failure}")
    if failure is not None:
        raise failure
    for text in texts:
        if text is not None:
            raise OtherProcessFailed(text)
