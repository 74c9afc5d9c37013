"""The platform that code is traced for: some functions have another formulation on the CPU."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_platform: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


def on_cpu() -> bool:
    """Returns whether code is traced for the CPU: the default backend, unless `tracing_for` is set.

    Both formulations compute the same values; the one for the CPU keeps its data in the cache.
    """
    return current_platform() == "cpu"


def current_platform() -> str:
    """Returns the platform that code is traced for, such as "cpu", "gpu", "cuda" or "tpu"."""
    chosen = _platform.get()
    return jax.default_backend() if chosen is None else chosen


@contextlib.contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Traces for `platform`, such as "cpu", "cuda" or "tpu", whatever the default backend is.

    JAX keeps traces by function, not by platform: trace a new function under each platform.
    """
    token = _platform.set(platform)
    try:
        yield
    finally:
        _platform.reset(token)
