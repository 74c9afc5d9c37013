"""Reads ahead in a thread."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T], size: int) -> Iterator[T]:
    """Yields the items, which a thread produces up to `size` items ahead.

    An error of the producer is raised here. When this generator is closed, the thread has ended.
    """
    found: queue.Queue = queue.Queue(size)
    stop = threading.Event()

    def put(item: tuple) -> bool:
        while not stop.is_set():
            try:
                found.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:
            put((None, error, True))

    thread = threading.Thread(target=produce, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = found.get()
            if error is not None:
                raise error
            if last:
                return
            yield item
            del item
    finally:
        stop.set()
        try:
            thread.join()
        except KeyboardInterrupt:  # the source must not be closed while the thread reads it
            thread.join()
            raise
