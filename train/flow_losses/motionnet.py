"""The unsupervised loss of MotionNet (Hidden Two-Stream Eq. 6)."""

from collections.abc import Sequence

from afn_jax.losses import MotionNetWeights, effective_weights, motionnet_loss
from afn_jax.losses.motionnet import CAFFE_JOINT, CAFFE_PRETRAIN
from afn_jax.types import Batch, Prediction
from train.flow_losses.flow_loss import FlowLoss, Terms, mean_over_examples, num_pairs

# The batch sizes of the authors of Hidden Two-Stream, which are part of their weights.
PRETRAIN_BATCH, JOINT_BATCH = 16, 8
WINDOW = 10  # pairs of frames that MotionNet sees together


def motionnet_terms(
    prediction: Prediction, batch: Batch, *, starts: Sequence[int] | None, action: bool
) -> Terms:
    """Pixel, smoothness and SSIM terms, each summed over the scales.

    The authors' SSIM is a sum over the pairs of frames that MotionNet sees. Its weight is therefore
    that of up to ten pairs, however many windows of ten a clip has.
    """
    num_frames, pairs = batch.frames.shape[1], num_pairs(prediction)
    # Each segment of a clip has one flow fewer than frames.
    segments = num_frames - pairs
    if segments < 1 or num_frames % segments:
        raise ValueError(
            f"objective.flow: motionnet needs the flow from each frame to the next, but the "
            f"network predicts {pairs} flows for {num_frames} frames. Use a network such as "
            "motionnet or hidden-temporal-vgg16."
        )
    weights, batch_size = (CAFFE_JOINT, JOINT_BATCH) if action else (CAFFE_PRETRAIN, PRETRAIN_BATCH)
    weights = effective_weights(
        MotionNetWeights(*(term[: len(prediction.flows)] for term in weights)),
        [flow.shape[-3:-1] for flow in prediction.flows],
        batch_size=batch_size,
        num_pairs=min(pairs // segments, WINDOW),
    )

    def of_example(frames, flows):
        frames, *flows = (x.reshape(segments, -1, *x.shape[1:]) for x in (frames, *flows))
        return motionnet_loss(frames, flows, weights=weights)[1]

    return mean_over_examples(of_example, batch, prediction.flows)


# lambda_1 to lambda_3 of Eq. 5, on top of the weights of the scales in `afn_jax.losses.motionnet`.
MOTIONNET = FlowLoss(
    "unsupervised loss of MotionNet (Hidden Two-Stream Eq. 6)",
    motionnet_terms,
    {"pixel": 1.0, "smooth": 1.0, "ssim": 1.0},
)
