"""The unsupervised loss of UF-TSN (Eq. 9)."""

from collections.abc import Sequence

from afn_jax.losses import uf_tsn_loss
from afn_jax.losses.uf_tsn import LAMBDA_CENSUS, LAMBDA_DIFF, LAMBDA_SMOOTH
from afn_jax.types import Batch, Prediction
from train.flow_losses.flow_loss import FlowLoss, Terms, mean_over_examples, num_pairs


def uf_tsn_terms(
    prediction: Prediction, batch: Batch, *, starts: Sequence[int] | None, action: bool
) -> Terms:
    """Eq. 6 to 8, each summed over the levels, and over both directions where there are two."""
    pairs = batch.frames.shape[1] - 1
    if num_pairs(prediction) not in (pairs, 2 * pairs):
        raise ValueError(
            f"objective.flow: uf-tsn needs the flow from each frame to the next, but the network "
            f"predicts {num_pairs(prediction)} flows for {pairs + 1} frames. Use a network such "
            "as uf-tsn-flow."
        )

    def of_example(frames, flows):
        forward = [flow[:pairs] for flow in flows]
        backward = [flow[pairs:] for flow in flows if flow.shape[0] > pairs]
        plain = {"lambda_diff": 1.0, "lambda_census": 1.0, "lambda_smooth": 1.0}
        return uf_tsn_loss(frames[:-1], frames[1:], forward, backward, **plain)[1]

    return mean_over_examples(of_example, batch, prediction.flows)


UF_TSN = FlowLoss(
    "unsupervised loss of UF-TSN (Eq. 9)",
    uf_tsn_terms,
    {"diff": LAMBDA_DIFF, "census": LAMBDA_CENSUS, "smooth": LAMBDA_SMOOTH},
    bidirectional=True,
)
