"""What to predict and to write; the settings that a set of outputs has in common."""

import dataclasses
import math
from typing import Annotated, Any, Literal

from afn_jax.export.card import Card
from afn_jax.limits import Limits, check_limits
from afn_jax.predict.segments import LOW, Threshold

FilmFlow = Literal["none", "beside", "over"]
FlowFormat = Literal["none", "npz", "flo", "mp4"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a prediction.

    Attributes:
        every: seconds from one window to the next; None: half of the span of a window.
        window: seconds to spread the parts of a window over; None: adjacent parts.
        threshold: a segment contains a step of at least this probability.
        low: a segment extends over steps of at least this probability; None: 0.6 x threshold.
        least: shorter segments are left out, in seconds.
        thresholds: (class, high, low, least) of classes that differ from the above.
        top: number of classes in tables.
        film: write an annotated video.
        film_height: of its pictures, at most that of the video.
        film_flow: where the film shows the flow.
        features: write what stands before the classifier.
        flow: write the flow.
        fps: frames per second of folders of pictures; None: 25, with a note.
        batch_size: windows per call of the network. Part of the settings, because a different
            batch size rounds differently.
    """

    every: Annotated[float | None, Limits(above=0, below=math.inf)] = None
    window: Annotated[float | None, Limits(above=0, below=math.inf)] = None
    threshold: Annotated[float, Limits(above=0, maximum=1)] = 0.5
    low: Annotated[float | None, Limits(above=0, maximum=1)] = None
    least: Annotated[float, Limits(minimum=0, below=math.inf)] = 0.0
    thresholds: tuple[tuple[str, float, float, float], ...] = ()
    top: Annotated[int, Limits(1)] = 5
    film: bool = True
    film_height: Annotated[int, Limits(16)] = 480
    film_flow: FilmFlow = "none"
    features: bool = False
    flow: FlowFormat = "none"
    fps: Annotated[float | None, Limits(above=0, below=math.inf)] = None
    batch_size: Annotated[int, Limits(1)] = 1

    def __post_init__(self) -> None:
        check_limits(self)
        if self.low is not None and self.low > self.threshold:
            raise ValueError(
                f"low: got {self.low:g}; it must be at most the threshold {self.threshold:g}."
            )

    @property
    def needs_flow(self) -> bool:
        """Whether the network has to compute its flow."""
        return self.flow != "none" or self.film_flow != "none"

    def thresholds_of(self, class_names: tuple[str, ...]) -> list[Threshold]:
        """Returns the threshold of each class."""
        low = LOW * self.threshold if self.low is None else self.low
        given = {name: Threshold(*values) for name, *values in self.thresholds}
        usual = Threshold(self.threshold, low, self.least)
        return [given.get(name, usual) for name in class_names]

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as values of JSON."""
        values = dataclasses.asdict(self)
        values["thresholds"] = [list(row) for row in self.thresholds]
        return values


def check_network(settings: Settings, card: Card, name: str) -> None:
    """Checks that a network can do what the settings ask for.

    Raises:
        ValueError: it cannot; the message says what it can do.
    """
    classifies, has_flow = bool(card.class_names), bool(card.flow_starts)
    asked = settings.flow != "none" or settings.features
    if not classifies and not has_flow:
        raise ValueError(f"model: {name} has neither classes nor flow, so it cannot predict.")
    if not classifies and not (asked or settings.film_flow != "none"):
        raise ValueError(
            f"model: {name} does not classify: it was trained on flow alone. Write its flow with "
            "--flow npz, flo or mp4, or show it with --film-flow beside."
        )
    if settings.needs_flow and not has_flow:
        option = f"flow {settings.flow}" if settings.flow != "none" else "film-flow"
        raise ValueError(
            f"{option.partition(' ')[0]}: {name} estimates no flow (its network is {card.model}); "
            f"leave --{option} out, or use afn-jax flow, which needs no network."
        )
    if settings.features and not card.feature_size:
        raise ValueError(
            f"features: {name} has no classifier, so there is nothing before it; leave --features "
            "out."
        )
    if settings.window is not None and card.num_segments == 1:
        raise ValueError(
            f"window: {name} takes one continuous piece of the video, whose length is fixed at "
            f"{card.num_frames} frames, {card.stride} apart; leave --window out."
        )
