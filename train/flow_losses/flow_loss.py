"""What a flow loss of the objective is: its terms, their weights, and what it needs."""

import dataclasses
from collections.abc import Callable, Mapping

import jax

from afn_jax.metrics import Mean
from afn_jax.types import Batch, Prediction

Terms = dict[str, Mean]


@dataclasses.dataclass(frozen=True, eq=False)
class FlowLoss:
    """A flow loss of the objective.

    Attributes:
        about: what it is, in one line for help texts.
        terms: `terms(prediction, batch, *, starts, action)` computes the terms without their
            weights, so that changing a weight changes the loss but no reported number. `starts` is
            the frame at which each flow starts, None if flow t starts at frame t; `action` is
            whether the action is learned too. Frames are float32 in [0, 1], as the network saw
            them: with color jitter and noise.
        weights: the paper's weight of each term.
        needs_target: the loss compares the flow with a target, so the data must have one.
        bidirectional: the loss uses backward flow too, where the network predicts it: in each
            `prediction.flows` map, behind the forward flows.
    """

    about: str
    terms: Callable[..., Terms]
    weights: Mapping[str, float]
    needs_target: bool = False
    bidirectional: bool = False


def mean_over_examples(of_example: Callable[..., dict], batch: Batch, *arrays) -> Terms:
    """Terms of a loss whose batch mean is the mean over its examples; padding does not count.

    Args:
        of_example: `of_example(frames, *arrays)` computes the terms of one example.
        batch: the frames and the mask.
        arrays: more inputs with a leading batch axis.
    """
    values = jax.vmap(of_example)(batch.frames, *arrays)
    return {name: Mean.from_values(value, batch.mask) for name, value in values.items()}


def num_pairs(prediction: Prediction) -> int:
    """The number of flows per clip."""
    return prediction.flows[0].shape[1]
