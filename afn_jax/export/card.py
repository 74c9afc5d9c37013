"""The card of a network: what a program must know to feed it and to read its outputs."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Card:
    """What a network takes and gives, and where it is from.

    Attributes:
        model: name of the network in `afn_jax.models.list_models()`.
        class_names: names by label; () if the network does not classify.
        num_frames: frames per window, all segments together.
        stride: frames of the video from one frame of the window to the next.
        num_segments: number of equal parts of the window; no flow crosses from one to the next.
        size: (height, width) of the frames that the network sees, in pixels.
        short_side: frames are resized to this shorter side, in pixels. The network sees a center
            crop of them, resized to `size`.
        crop_scale: sides of that crop relative to the largest box with the aspect ratio of `size`.
        brighten: "none", "gamma" (the same gamma for all windows) or "auto" (per window, the gamma
            that gives it a usual mean brightness).
        gamma: exponent of "gamma", applied to pixel values in [0, 1]; below 1 brightens.
        flow_starts: frame of the window at which each flow starts, one per flow; () without flow.
        feature_size: length of the features before the classifier; 0 without classifier.
        recipe: recipe of the training.
        stage: stage of that recipe.
        step: number of training steps.
        metrics: newest evaluation of the run; empty if it was not evaluated.
        license: license of the weights.
        versions: of `afn_jax`, `jax`, `flax`, the code and the data.
        platforms: where the network runs: "cpu", "cuda", "tpu".
        resize: "area": both times, area averaging where the picture shrinks, and bilinear
            interpolation where it grows. docs/export.md has the exact rule.
    """

    model: str
    class_names: tuple[str, ...]
    num_frames: int
    stride: int
    num_segments: int
    size: tuple[int, int]
    short_side: int
    crop_scale: float
    brighten: str
    gamma: float
    flow_starts: tuple[int, ...]
    feature_size: int
    recipe: str
    stage: str
    step: int
    metrics: dict[str, float]
    license: str
    versions: dict[str, str]
    platforms: tuple[str, ...]
    resize: str = "area"

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as values of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Card":
        """Makes a card of the values of `to_json`; unknown fields are ignored.

        Raises:
            ValueError: a field is missing, has the wrong type, or cannot be; the message names it.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"the card is {_short(values)}; it must be an object")
        fields = {}
        optional = {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is not dataclasses.MISSING
        }
        for name, kind in typing.get_type_hints(cls).items():
            if name not in values and name in optional:  # a file of an older version
                continue
            if name not in values:
                raise ValueError(f"the card has no field {name!r}")
            try:
                fields[name] = _as(kind, values[name])
            except (TypeError, ValueError):
                raise ValueError(
                    f"{name}: got {_short(values[name])}; it must be {_described(kind)}"
                ) from None
        card = cls(**fields)
        card._check()
        return card

    def _check(self) -> None:
        for name in ("num_frames", "stride", "num_segments", "short_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; it must be 1 or more")
        if min(self.size) < 1:
            raise ValueError(f"size: got {self.size}; both sides must be 1 or more")
        if self.num_frames % self.num_segments:
            raise ValueError(
                f"num_segments: got {self.num_segments}, which does not divide the "
                f"{self.num_frames} frames of a window"
            )
        if not 0 < self.crop_scale <= 1:
            raise ValueError(f"crop_scale: got {self.crop_scale}; it must be in (0, 1]")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma: got {self.gamma}; it must be above 0")
        if self.brighten not in ("none", "gamma", "auto"):
            raise ValueError(
                f"brighten: got {self.brighten!r}; it must be 'none', 'gamma' or 'auto'"
            )
        if self.resize != "area":
            raise ValueError(
                f"resize: got {self.resize!r}; it must be 'area'. A newer version wrote this file: "
                "update afn_jax"
            )
        if not all(0 <= start < self.num_frames for start in self.flow_starts):
            raise ValueError(
                f"flow_starts: got {self.flow_starts}; a window has the frames 0 to "
                f"{self.num_frames - 1}"
            )
        if self.feature_size < 0 or self.step < 0:
            raise ValueError("feature_size and step: both must be 0 or more")


def _as(kind: Any, value: Any) -> Any:
    """Converts a value of JSON to the type of a field."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError
        items = typing.get_args(kind)
        if items[-1] is ...:
            items = (items[0],) * len(value)
        return tuple(_as(item, one) for item, one in zip(items, value, strict=True))
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise TypeError
        _, item = typing.get_args(kind)
        return {_as(str, key): _as(item, one) for key, one in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise TypeError
    return kind(value)


def _described(kind: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a number"}
    if kind in names:
        return names[kind]
    if typing.get_origin(kind) is dict:
        return f"an object with {names[typing.get_args(kind)[1]]} per name"
    items = typing.get_args(kind)
    if items[-1] is ...:
        return f"a list of {'texts' if items[0] is str else 'whole numbers'}"
    return f"a list of {len(items)} whole numbers"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
