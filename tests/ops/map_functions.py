"""All functions of maps in `ops` and `losses`, each with example arguments."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from afn_jax import losses, ops


@dataclasses.dataclass(frozen=True)
class Function:
    """A function of one batch.

    Attributes:
        name: its public name, followed by a comma and the options that are not defaults.
        call: the function, with arrays as positional arguments.
        arguments: for each array, its name in `KINDS` and its shape per example.
        gives: "maps": one result per example; "mean": a scalar, the mean over examples.
        dtype: of the result: "same" as the input, "float32" (float64 for float64 input), or a
            fixed dtype.
        shape: of the result for one example.
        any_leading: whether the function accepts any number of leading axes, not just one.
        finite_to: largest input magnitude for which values and gradients must be finite; beyond
            it, values may be infinite.
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[tuple[str, tuple[int, ...]], ...]
    gives: str = "maps"
    dtype: str = "float32"
    shape: tuple[int, ...] = ()
    any_leading: bool = True
    finite_to: float = 3e38

    @property
    def public_name(self):
        return self.name.split(",")[0]


KINDS = {
    "image": lambda random, shape: random.uniform(size=shape),
    "features": lambda random, shape: random.uniform(0, 255, shape),
    "flow": lambda random, shape: random.normal(scale=2, size=shape),
    "mask": lambda random, shape: random.uniform(size=shape) > 0.3,
    "labels": lambda random, shape: random.integers(0, 3, shape, dtype=np.int32),
}
SIZE = (8, 9)
IMAGE, FLOW, MASK = ("image", (*SIZE, 3)), ("flow", (*SIZE, 2)), ("mask", SIZE)
LOGITS, LABELS = ("flow", (3,)), ("labels", ())
KEY = 7


def key():
    return jax.random.key(KEY)


OPS = (
    Function(
        "color_jitter",
        lambda frames: ops.color_jitter(
            key(), frames, brightness=0.3, contrast=0.3, saturation=0.3
        ),
        (("image", (2, 4, 5, 3)),),
        dtype="same",
        shape=(2, 4, 5, 3),
        any_leading=False,
    ),
    Function(
        "cost_volume",
        lambda a, b: ops.cost_volume(a, b, max_displacement=1),
        (("image", (3, 5, 2)), ("image", (3, 5, 2))),
        dtype="same",
        shape=(3, 5, 9),
    ),
    Function("flow_to_rgb", ops.flow_to_rgb, (FLOW,), dtype="uint8", shape=(*SIZE, 3)),
    Function(
        "gaussian_noise",
        lambda frames: ops.gaussian_noise(key(), frames, std=0.1),
        (("image", (4, 5, 3)),),
        dtype="same",
        shape=(4, 5, 3),
    ),
    Function(
        "median_filter",
        lambda x: ops.median_filter(x, 3),
        (("image", (4, 5)),),
        dtype="same",
        shape=(4, 5),
    ),
    Function("normalize_flow", ops.normalize_flow, (FLOW,), dtype="same", shape=(*SIZE, 2)),
    Function(
        "representation_flow",
        lambda a, b: ops.representation_flow(a, b, num_iterations=3),
        (("features", (4, 5, 2)), ("features", (4, 5, 2))),
        shape=(4, 5, 2, 2),
    ),
    Function(
        "representation_flow, sobel",
        lambda a, b: ops.representation_flow(a, b, num_iterations=3, kernels="sobel"),
        (("features", (4, 5, 2)), ("features", (4, 5, 2))),
        shape=(4, 5, 2, 2),
    ),
    Function(
        "resize_flow",
        lambda flow: ops.resize_flow(flow, (5, 12)),
        (FLOW,),
        dtype="same",
        shape=(5, 12, 2),
        finite_to=1e38,
    ),
    Function(
        "resize_mask",
        lambda mask: ops.resize_mask(mask, (5, 12)),
        (MASK,),
        dtype="bool",
        shape=(5, 12),
    ),
    Function(
        "tvl1_flow",
        functools.partial(
            ops.tvl1_flow,
            config=ops.TVL1Config(
                num_scales=2, min_size=4, num_warps=1, num_iterations=2, median_size=1
            ),
        ),
        (IMAGE, IMAGE),
        shape=(*SIZE, 2),
    ),
    Function("visibility_mask", ops.visibility_mask, (FLOW, FLOW), dtype="bool", shape=SIZE),
    Function("warp", ops.warp, (IMAGE, FLOW), dtype="same", shape=(*SIZE, 3)),
    Function(
        "warp, map_coordinates",
        functools.partial(ops.warp, implementation="map_coordinates"),
        (IMAGE, FLOW),
        dtype="same",
        shape=(*SIZE, 3),
    ),
    Function(
        "warp, zeros",
        functools.partial(ops.warp, padding="zeros"),
        (IMAGE, FLOW),
        dtype="same",
        shape=(*SIZE, 3),
    ),
    Function("warp_mask", ops.warp_mask, (FLOW,), dtype="bool", shape=SIZE),
)

mean = functools.partial(Function, gives="mean")
LOSSES = (
    mean("census_loss", losses.census_loss, (IMAGE, IMAGE)),
    Function("charbonnier", losses.charbonnier, (FLOW,), shape=(*SIZE, 2)),
    Function("cross_entropy", losses.cross_entropy, (LOGITS, LABELS)),
    mean("edge_aware_smoothness_loss", losses.edge_aware_smoothness_loss, (FLOW, IMAGE)),
    Function("endpoint_error", losses.endpoint_error, (FLOW, FLOW), shape=SIZE, finite_to=1e38),
    mean(
        "flow_loss",
        losses.flow_loss,
        (("flow", (2, *SIZE, 2)), ("flow", (2, *SIZE, 2))),
        any_leading=False,
        finite_to=1e35,
    ),
    mean(
        "jointflow3d_loss",
        lambda *arrays: losses.jointflow3d_loss(*arrays)[0],
        (
            LOGITS,
            LABELS,
            ("image", (2, *SIZE, 1)),
            ("image", (2, *SIZE, 1)),
            ("flow", (2, *SIZE, 2)),
        ),
        any_leading=False,
    ),
    mean("l1_loss", losses.l1_loss, (IMAGE, IMAGE)),
    mean("masked_mean", losses.masked_mean, (IMAGE,), finite_to=1e35),
    mean(
        "motionnet_loss",
        lambda frames, flow: losses.motionnet_loss(frames, [flow])[0],
        (("image", (3, *SIZE, 3)), ("flow", (2, *SIZE, 2))),
        any_leading=False,
    ),
    mean(
        "motionnet_loss, caffe",
        lambda frames, flow: losses.motionnet_loss(
            frames, [flow], reduction="caffe", normalization="none"
        )[0],
        (("image", (3, *SIZE, 3)), ("flow", (2, *SIZE, 2))),
        any_leading=False,
    ),
    mean(
        "multiscale_endpoint_error",
        lambda a, b, target: losses.multiscale_endpoint_error([a, b], target, weights=(0.6, 0.4)),
        (("flow", (4, 5, 2)), ("flow", (2, 3, 2)), FLOW),
        finite_to=1e35,
    ),
    mean("photometric_loss", losses.photometric_loss, (IMAGE, IMAGE)),
    mean("smoothness_loss", losses.smoothness_loss, (FLOW,)),
    Function("ssim", losses.ssim, (IMAGE, IMAGE), shape=(1, 1, 3)),
    Function(
        "ssim, gaussian",
        functools.partial(losses.ssim, window="gaussian", edge="partial"),
        (IMAGE, IMAGE),
        shape=(1, 2, 3),
    ),
    mean("ssim_loss", losses.ssim_loss, (IMAGE, IMAGE)),
    mean(
        "uf_tsn_loss",
        lambda image1, image2, flow: losses.uf_tsn_loss(image1, image2, [flow])[0],
        (IMAGE, IMAGE, FLOW),
    ),
)
FUNCTIONS = (*OPS, *LOSSES)
