"""Options in errors, as a user types them."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

REQUIRED: Any = tyro.conf.arg(help_behavior_hint="(required)")
"""Annotation of a list of arguments that may not be empty."""
UNSET: Any = tyro.conf.arg(help_behavior_hint="")
"""Annotation of an option that has no effect unless it is given."""

_FIELD = re.compile(r"([a-z][a-z0-9_]*)(?=: | is )")


def default(text: str) -> Any:
    """Returns the annotation of an option whose help has this text as its default."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


@contextlib.contextmanager
def options_as_typed(*configs: type, positional: tuple[str, ...] = ()) -> Iterator[None]:
    """Turns an error such as "batch_size: got 0" into "--batch-size: got 0".

    Args:
        configs: the classes whose fields are options.
        positional: their fields that are not.
    """
    names = {field.name for config in configs for field in dataclasses.fields(config)}
    try:
        yield
    except ValueError as error:
        found = _FIELD.match(str(error))
        if found is None or found[1] not in names - set(positional):
            raise
        raise ValueError(typed(found[1]) + str(error)[found.end() :]) from error


def typed(name: str) -> str:
    """Returns the option of a field: `batch_size` is `--batch-size`."""
    return f"--{name.replace('_', '-')}"


@contextlib.contextmanager
def file_of(option: str, advice: str) -> Iterator[None]:
    """Makes an error of a file name its option, as `ValueError`.

    Args:
        option: as the user types it, such as "--thresholds".
        advice: what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise ValueError(f"{option}: {what_failed(error)}. {advice}") from error


def what_failed(error: OSError) -> str:
    """Returns the file and the reason of an error of the system."""
    name = error.filename if error.filename is not None else error.filename2
    reason = (error.strerror or type(error).__name__).rstrip(".")
    if isinstance(name, bytes):
        name = name.decode(errors="backslashreplace")
    return reason if name is None else f"{name}: {reason}"


def _optional(kind: type[int] | type[float], metavar: str, name: str) -> PrimitiveConstructorSpec:
    def parsed(words: list[str]) -> float | None:
        if words[0] == "None":
            return None
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"got {words[0]!r}; it must be {name}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=parsed,
        is_instance=lambda value: value is None or isinstance(value, (kind, int)),
        str_from_instance=lambda value: [str(value)],
    )


OPTIONAL_FLOAT: Any = _optional(float, "FLOAT", "a number")
"""Annotation of an option `float | None`: a wrong value gives one short sentence."""

OPTIONAL_INT: Any = _optional(int, "INT", "a whole number")
"""Likewise of an option `int | None`."""
