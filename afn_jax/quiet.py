"""Silencing what libraries log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced(level: int = logging.WARNING) -> Iterator[None]:
    """Drops log records of `level` and below, of all loggers."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
