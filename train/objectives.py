"""What is minimized: functions of a prediction and a batch, which know no model and no dataset.

An objective returns its terms as sums and counts, so that the mean over all devices is exact
whatever each device holds. Terms without a weight are reported, not minimized.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from afn_jax.losses import cross_entropy
from afn_jax.metrics import Mean
from afn_jax.types import Batch, Prediction
from train.flow_losses import find_flow_loss
from train.flow_losses.endpoint import endpoint_terms
from train.flow_losses.target import flow_and_target, flow_mask


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """An objective: `objective(prediction, batch)` computes its terms.

    Attributes:
        terms: the function that computes them.
        weights: the weight of each term's mean in the loss; a term without one has weight 0.
    """

    terms: Callable[[Prediction, Batch], dict[str, Mean]]
    weights: Mapping[str, float]

    def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Mean]:
        return self.terms(prediction, batch)


def create_objective(
    flow: str = "endpoint",
    action: bool = True,
    *,
    flow_weight: float = 1.0,
    term_weights: Sequence[str] = (),
    label_smoothing: float = 0.0,
    starts: Sequence[int] | None = None,
) -> Objective:
    """Creates the objective of the action, of a flow loss, or of both.

    The cross-entropy has weight 1; the terms of the flow loss have those of its paper (see
    `train.flow_losses`) times `flow_weight`. Each term is a mean over pixels, pairs and examples.
    Where a batch has a flow target, the endpoint error is reported whatever the flow loss is.

    Args:
        flow: a name of `train.flow_losses.FLOW_LOSSES`; "none" if only the action is learned.
        action: whether the action is learned.
        flow_weight: weight of the flow loss. The ActionFlowNet paper sums over pixels and frames
            and does not report its lambda; with means, a lambda means the same at every size.
        term_weights: "TERM=WEIGHT", in place of the paper's weights.
        label_smoothing: see `afn_jax.losses.cross_entropy`.
        starts: the frame at which each flow starts; None: flow t starts at frame t.

    Raises:
        ValueError: an unknown flow loss or term.
    """
    flow_loss = find_flow_loss(flow)
    weights = {"cross_entropy": 1.0} if action else {}
    weights |= {name: flow_weight * weight for name, weight in flow_loss.weights.items()}
    weights |= _parse_weights(term_weights, weights, flow, flow_weight)

    def terms(prediction: Prediction, batch: Batch) -> dict[str, Mean]:
        assert batch.flows is not None or not flow_loss.needs_target  # see `check_target`
        found = {}
        if prediction.logits is not None and action:
            losses = cross_entropy(prediction.logits, batch.labels, label_smoothing=label_smoothing)
            found["cross_entropy"] = Mean.from_values(losses, batch.mask)
            right = prediction.logits.argmax(-1) == batch.labels
            found["top1"] = Mean.from_values(right, batch.mask)
        if prediction.flows and flow != "none":
            found |= flow_loss.terms(prediction, batch, starts=starts, action=action)
            if batch.flows is not None and "epe" not in found:
                if flow_loss.bidirectional:
                    prediction = _without_backward_flows(prediction, batch.frames.shape[1] - 1)
                found |= endpoint_terms(prediction, batch, starts=starts, action=action)
        return found

    return Objective(terms, weights)


def _without_backward_flows(prediction: Prediction, num_pairs: int) -> Prediction:
    return prediction.replace(flows=tuple(flow[:, :num_pairs] for flow in prediction.flows))


def _parse_weights(
    term_weights: Sequence[str], known: Mapping[str, float], flow: str, flow_weight: float
) -> dict[str, float]:
    weights = {}
    for text in term_weights:
        name, _, value = text.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if name not in known or not 0 <= weight < float("inf"):
            raise ValueError(
                f"objective.term_weights: got {text!r}, but each must be TERM=WEIGHT with a weight "
                f"of 0 or more; the terms of flow loss {flow!r} are {', '.join(known)}."
            )
        weights[name] = weight if name == "cross_entropy" else flow_weight * weight
    return weights


__all__ = ["Objective", "create_objective", "flow_and_target", "flow_mask"]
