"""What is minimised: functions of a prediction and a batch, which know no model and no dataset.

An objective returns its terms as sums and counts, so that the mean over all devices is exact
whatever each device holds. Terms with weight 0 are reported, not minimised.
"""

from collections.abc import Callable, Sequence
from functools import partial

from afn_jax.losses import cross_entropy
from afn_jax.types import Batch, Prediction
from train.flow_terms import (
    WEIGHTS,
    endpoint_terms,
    flow_and_target,
    flow_mask,
    jointflow3d_terms,
    motionnet_terms,
    multiscale_terms,
    uf_tsn_terms,
)
from train.terms import Term, masked_term

Objective = Callable[[Prediction, Batch], dict[str, Term]]

# Of each kind: its flow loss, and whether the action counts.
KINDS = {
    "joint": ("endpoint", True),
    "action": (None, True),
    "flow": ("endpoint", False),
    "multiscale-joint": ("multiscale", True),
    "multiscale-flow": ("multiscale", False),
    "motionnet-joint": ("motionnet", True),
    "motionnet-flow": ("motionnet", False),
    "uf-tsn-joint": ("uf-tsn", True),
    "uf-tsn-flow": ("uf-tsn", False),
    "jointflow3d-joint": ("jointflow3d", True),
}


def create_objective(
    kind: str,
    flow_weight: float = 1.0,
    *,
    term_weights: Sequence[str] = (),
    label_smoothing: float = 0.0,
    starts: Sequence[int] | None = None,
) -> Objective:
    """An objective by name.

    | kind | loss |
    |---|---|
    | "joint" | ActionFlowNet Eq. 2; "action" and "flow" are its two terms alone |
    | "multiscale-joint", "multiscale-flow" | ActionFlowNet Eq. 4 and Eq. 3 |
    | "motionnet-joint", "motionnet-flow" | Hidden Two-Stream Eq. 6, with and without the action |
    | "uf-tsn-joint", "uf-tsn-flow" | UF-TSN Eq. 9, likewise |
    | "jointflow3d-joint" | Odabasi Eq. 3 |

    The cross-entropy has weight 1; the terms of the flow loss those of the paper (`WEIGHTS` of
    `train.flow_terms`) times `flow_weight`. Each term is a mean over pixels, pairs and examples.
    Where a batch has a flow target, the endpoint error is reported whatever the flow loss is.

    Args:
        flow_weight: of the flow loss. The ActionFlowNet paper sums over pixels and frames and does
            not tell its lambda; with means, the same lambda means the same at every size.
        term_weights: "TERM=WEIGHT", instead of the paper's.
        label_smoothing: see `afn_jax.losses.cross_entropy`.
        starts: the frame that each flow starts at; None: flow t starts at frame t.

    Raises:
        ValueError: unknown kind or term.
    """
    if kind not in KINDS:
        raise ValueError(f"objective.kind: got {kind!r}, allowed are {', '.join(KINDS)}.")
    flow_loss, classify = KINDS[kind]
    weights = {"cross_entropy": 1.0} if classify else {}
    weights |= {name: flow_weight * weight for name, weight in WEIGHTS.get(flow_loss, {}).items()}
    weights |= _parse_weights(term_weights, weights, kind, flow_weight)
    flow_terms = {
        "multiscale": partial(multiscale_terms, starts=starts),
        "motionnet": partial(motionnet_terms, joint=classify),
        "uf-tsn": uf_tsn_terms,
        "jointflow3d": partial(jointflow3d_terms, starts=starts),
    }.get(flow_loss)

    def objective(prediction: Prediction, batch: Batch) -> dict[str, Term]:
        if batch.flows is None and flow_loss in ("endpoint", "multiscale"):
            raise ValueError(
                f"objective.kind: {kind!r} compares flow with a target, and the data has none. Use "
                "--data.teacher dis, or a kind without a target."
            )
        terms = {}
        if prediction.logits is not None and classify:
            losses = cross_entropy(prediction.logits, batch.labels, label_smoothing=label_smoothing)
            terms["cross_entropy"] = masked_term(losses, batch.mask)
            right = prediction.logits.argmax(-1) == batch.labels
            terms["top1"] = masked_term(right, batch.mask)
        if prediction.flows and flow_loss is not None:
            if flow_terms is not None:
                terms |= flow_terms(prediction, batch)
            if flow_loss == "uf-tsn":
                prediction = _without_backward_flows(prediction, batch.frames.shape[1] - 1)
            if batch.flows is not None:
                terms |= endpoint_terms(prediction, batch, starts)
        return {
            name: Term(term.sum, term.count, weights.get(name, 0.0)) for name, term in terms.items()
        }

    return objective


def _without_backward_flows(prediction: Prediction, num_pairs: int) -> Prediction:
    """UF-TSN adds them behind the others while training."""
    return prediction.replace(flows=tuple(flow[:, :num_pairs] for flow in prediction.flows))


def _parse_weights(
    term_weights: Sequence[str], known: dict[str, float], kind: str, flow_weight: float
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
                f"of 0 or more; the terms of {kind} are {', '.join(known)}."
            )
        weights[name] = weight if name == "cross_entropy" else flow_weight * weight
    return weights


__all__ = ["KINDS", "Objective", "Term", "create_objective", "flow_and_target", "flow_mask"]
