"""Bounds and choices of settings, written beside their fields and checked in one place."""

import dataclasses
import typing
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of a number, in the annotation of its field: `steps: Annotated[int, Limits(1)]`.

    For a field that is a tuple, every element has to keep them. None is always allowed.

    Attributes:
        minimum: the smallest value allowed.
        maximum: the largest value allowed.
        above: the value must be larger.
        below: the value must be smaller.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    def contain(self, number: float) -> bool:
        """Whether a number keeps the bounds; NaN keeps none."""
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        words = {"at least": self.minimum, "at most": self.maximum}
        words |= {"above": self.above, "below": self.below}
        return " and ".join(f"{word} {x:g}" for word, x in words.items() if x is not None)


def check_limits(config: Any, prefix: str = "") -> None:
    """Checks the bounds and the `Literal` choices of a dataclass, and of dataclasses inside it.

    Raises:
        ValueError: a value outside its bounds, or none of its choices.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        hint = hints[field.name]
        if dataclasses.is_dataclass(value):
            check_limits(value, f"{name}.")
            continue
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else (value,)
        if value not in choices:
            raise ValueError(f"{name}: got {value!r}; allowed: {', '.join(map(str, choices))}.")
        for limits in getattr(hint, "__metadata__", ()):
            if not isinstance(limits, Limits) or value is None:
                continue
            many = isinstance(value, tuple)
            if not all(limits.contain(number) for number in (value if many else (value,))):
                each = "each" if many else "it"
                raise ValueError(f"{name}: got {value}, but {each} must be {limits}.")
