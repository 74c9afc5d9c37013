"""The flow losses of the papers as terms: functions of a prediction and a batch.

Each gives its terms without the weights of the paper, which are in `WEIGHTS`: so they are what is
reported, and a weight that is changed changes the loss and no metric.

Frames are float32 in [0, 1], as the network got them: colours jittered, and noise added if the
pipeline does that.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from afn_jax.losses import (
    MotionNetWeights,
    effective_weights,
    endpoint_error,
    jointflow3d_loss,
    motionnet_loss,
    multiscale_endpoint_error,
    uf_tsn_loss,
)
from afn_jax.losses.actionflownet import SCALE_WEIGHTS
from afn_jax.losses.motionnet import CAFFE_JOINT, CAFFE_PRETRAIN
from afn_jax.losses.uf_tsn import LAMBDA_CENSUS, LAMBDA_DIFF, LAMBDA_SMOOTH
from afn_jax.ops import resize_flow, resize_mask
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Array, Batch, Prediction
from train.terms import Term, masked_term

# The weights of the papers. For MotionNet they are lambda_1 to lambda_3 of Eq. 5, on top of the
# weights of scales in `afn_jax.losses.motionnet`; 1 each.
WEIGHTS = {
    "endpoint": {"epe": 1.0},
    "multiscale": {f"epe_scale{r}": alpha for r, alpha in enumerate(SCALE_WEIGHTS, 1)},
    "motionnet": {"pixel": 1.0, "smooth": 1.0, "ssim": 1.0},
    "uf-tsn": {"diff": LAMBDA_DIFF, "census": LAMBDA_CENSUS, "smooth": LAMBDA_SMOOTH},
    "jointflow3d": {"photometric": 1.0, "smooth": 1.0},  # guessed; the recipe has others
}
# Batch sizes of the authors of Hidden Two-Stream, which are part of their weights.
PRETRAIN_BATCH, JOINT_BATCH = 16, 8
WINDOW = 10  # pairs of frames that MotionNet sees at once


def endpoint_terms(
    prediction: Prediction, batch: Batch, starts: Sequence[int] | None = None
) -> dict[str, Term]:
    """Endpoint error of the finest flow, in pixels of the frames, and that of no motion."""
    flow, target, mask = flow_and_target(prediction, batch, starts)
    return {
        "epe": masked_term(endpoint_error(flow, target), mask),
        "zero_flow_epe": masked_term(endpoint_error(jnp.zeros_like(target), target), mask),
    }


def multiscale_terms(
    prediction: Prediction, batch: Batch, starts: Sequence[int] | None = None
) -> dict[str, Term]:
    """ActionFlowNet Eq. 3: the endpoint error at each size, in pixels of that size."""
    _, target, mask = flow_and_target(prediction, batch, starts)
    if len(prediction.flows) > len(SCALE_WEIGHTS):
        raise ValueError(
            f"objective.kind: multiscale is for up to {len(SCALE_WEIGHTS)} sizes of flow, the "
            f"network predicts {len(prediction.flows)}. Use --objective.kind joint or flow."
        )
    target = jnp.where(mask[..., None], target, 0)
    terms = {}
    for scale, flow in enumerate(prediction.flows, 1):
        count = jnp.sum(resize_mask(mask, flow.shape[-3:-1]), dtype=jnp.float32)
        mean = multiscale_endpoint_error([flow], target, weights=[1.0], mask=mask)
        terms[f"epe_scale{scale}"] = Term(mean * count, count)
    return terms


def motionnet_terms(prediction: Prediction, batch: Batch, *, joint: bool) -> dict[str, Term]:
    """Hidden Two-Stream Eq. 6: pixel, smoothness and SSIM terms, each summed over the scales.

    The authors' SSIM is a sum over the pairs of frames that MotionNet sees, so that its weight is
    that of up to ten, however many windows of them a clip has.
    """
    num_frames, num_pairs = batch.frames.shape[1], _num_pairs(prediction)
    # Each segment of a clip has one flow less than frames.
    segments = num_frames - num_pairs
    if segments < 1 or num_frames % segments:
        raise ValueError(
            f"objective.kind: motionnet needs the flow from each frame to the next, and the "
            f"network predicts {num_pairs} flows for {num_frames} frames. Use a network such as "
            "motionnet or hidden-temporal-vgg16."
        )
    weights, batch_size = (CAFFE_JOINT, JOINT_BATCH) if joint else (CAFFE_PRETRAIN, PRETRAIN_BATCH)
    weights = effective_weights(
        MotionNetWeights(*(term[: len(prediction.flows)] for term in weights)),
        [flow.shape[-3:-1] for flow in prediction.flows],
        batch_size=batch_size,
        num_pairs=min(num_pairs // segments, WINDOW),
    )

    def of_example(frames, flows):
        frames, *flows = (x.reshape(segments, -1, *x.shape[1:]) for x in (frames, *flows))
        return motionnet_loss(frames, flows, weights=weights)[1]

    return _mean_over_examples(of_example, batch, prediction.flows)


def uf_tsn_terms(prediction: Prediction, batch: Batch) -> dict[str, Term]:
    """UF-TSN Eq. 6 to 8, each summed over the levels; of both directions where there are two."""
    num_pairs = batch.frames.shape[1] - 1
    if _num_pairs(prediction) not in (num_pairs, 2 * num_pairs):
        raise ValueError(
            f"objective.kind: uf-tsn needs the flow from each frame to the next, and the network "
            f"predicts {_num_pairs(prediction)} flows for {num_pairs + 1} frames. Use a network "
            "such as uf-tsn-flow."
        )

    def of_example(frames, flows):
        forward = [flow[:num_pairs] for flow in flows]
        backward = [flow[num_pairs:] for flow in flows if flow.shape[0] > num_pairs]
        plain = {"lambda_diff": 1.0, "lambda_census": 1.0, "lambda_smooth": 1.0}
        return uf_tsn_loss(frames[:-1], frames[1:], forward, backward, **plain)[1]

    return _mean_over_examples(of_example, batch, prediction.flows)


def jointflow3d_terms(
    prediction: Prediction, batch: Batch, starts: Sequence[int] | None
) -> dict[str, Term]:
    """Odabasi Eq. 1 and 2: photometric and smoothness loss of one flow a triplet of grey frames."""
    num_frames, num_pairs = batch.frames.shape[1], _num_pairs(prediction)
    starts = list(range(num_frames - 1) if starts is None else starts)[:num_pairs]
    size = prediction.flows[0].shape[2:4]
    if len(starts) != num_pairs or starts[-1] + 1 >= num_frames or size != batch.frames.shape[2:4]:
        raise ValueError(
            f"objective.kind: jointflow3d needs a flow of the size of the frames for each of "
            f"{len(starts)} triplets; the network predicts {num_pairs} of {size}. Use the network "
            "jointflow3d."
        )

    def of_example(frames, flows, logits, label):
        gray = rgb_to_gray(frames)
        previous, current = (gray[jnp.array(starts) + shift][None] for shift in (0, 1))
        _, terms = jointflow3d_loss(logits[None], label[None], previous, current, flows[0][None])
        return {name: terms[name] for name in ("photometric", "smooth")}

    return _mean_over_examples(of_example, batch, prediction.flows, prediction.logits, batch.labels)


def flow_and_target(
    prediction: Prediction, batch: Batch, starts: Sequence[int] | None = None
) -> tuple[Array, Array, Array]:
    """The finest flow at the size of its target, the target, and where that is trusted.

    `[batch, pairs, H, W, ...]`, for as many pairs as the network predicts: not every one predicts
    the future flow, after the last frame.

    Args:
        starts: the frame that each flow starts at, see `afn_jax.models.VideoNetwork.flow_starts`;
            None: flow t starts at frame t.
    """
    pairs = prediction.flows[0].shape[1]
    starts = range(batch.flows.shape[1]) if starts is None else starts
    if pairs > len(starts):
        raise ValueError(
            f"the network predicts {pairs} flows a clip, and there are {len(starts)} "
            "targets. If it predicts backward flow too: --model.options bidirectional=false."
        )
    chosen = _index(starts[:pairs])
    target = batch.flows[:, chosen].astype(jnp.float32)
    flow = resize_flow(prediction.flows[0], target.shape[-3:-1])
    return flow, target, flow_mask(batch)[:, chosen]


def flow_mask(batch: Batch) -> Array:
    """`[batch, time, H, W]`: where the flow target of a real (not padding) example is trusted."""
    examples = batch.mask.reshape(-1, 1, 1, 1)
    if batch.flow_mask is None:
        return jnp.broadcast_to(examples, batch.flows.shape[:-1])
    return batch.flow_mask & examples


def _index(starts: Sequence[int]) -> slice | list[int]:
    """A slice where the numbers are 0, 1, 2, ...: it costs nothing."""
    starts = list(starts)
    return slice(len(starts)) if starts == list(range(len(starts))) else starts


def _num_pairs(prediction: Prediction) -> int:
    return prediction.flows[0].shape[1]


def _mean_over_examples(of_example: Callable, batch: Batch, *arrays) -> dict[str, Term]:
    """Terms of a loss whose mean over a batch is the mean over its examples; padding left out."""
    values = jax.vmap(of_example)(batch.frames, *arrays)
    return {name: masked_term(value, batch.mask) for name, value in values.items()}
