import dataclasses
from typing import Annotated, Literal

import pytest

from afn_jax.limits import Limits, check_limits


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: Annotated[float | None, Limits(minimum=0, below=1)] = None
    scales: Annotated[tuple[float, ...], Limits(above=0, maximum=1)] = (1.0, 0.5)


@dataclasses.dataclass(frozen=True)
class Outer:
    steps: Annotated[int, Limits(1)] = 1
    inner: Inner = Inner()
    name: str = ""
    mode: Literal["fast", "exact"] = "fast"


@pytest.mark.parametrize("rate", [None, 0.0, 0.999])
def test_accepts_values_within_their_bounds(rate):
    check_limits(Outer(inner=Inner(rate)))


@pytest.mark.parametrize(
    "config, message",
    [
        (Outer(steps=0), "steps: got 0, but it must be at least 1."),
        (Outer(mode="slow"), "mode: got 'slow'; allowed: fast, exact."),
        (Outer(inner=Inner(1.0)), "inner.rate: got 1.0, but it must be at least 0 and below 1."),
        (Outer(inner=Inner(float("nan"))), "inner.rate: got nan, but it must"),
        (
            Outer(inner=Inner(scales=(1.0, 0.0))),
            r"inner.scales: got \(1.0, 0.0\), but each must be at most 1 and above 0.",
        ),
    ],
)
def test_rejects_values_outside_their_bounds_or_choices(config, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_limits(config)
