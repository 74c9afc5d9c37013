"""Parsers with every fault that the campaign must find, for its tests."""

import os
import time
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.parser import Parser, require

SEED = b"sound"


def _case(fault):
    def read(folder: Path) -> None:
        content = (folder / "a").read_bytes()
        if content != SEED:
            fault()

    return read


def _memory():
    np.ones(500_000_000, np.uint8).sum()


def _wrong():
    require(False, "a label out of range")


def _raise(error):
    raise error


FAULTS = {
    "crash": os.abort,
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(3600),
    "loop": lambda: [time.sleep(0) for _ in iter(int, 1)],
    "memory": _memory,
    "wrong result": _wrong,
    "other error": lambda: _raise(KeyError("x")),
    "documented": lambda: _raise(UnicodeError("damaged")),
}
PARSERS = [
    Parser(name, "read", ("ValueError",), lambda: [{"a": SEED}], _case(fault))
    for name, fault in FAULTS.items()
]
