"""Cases of `test_gradients.py` for `ops` and `nn`: functions and the points of differentiation.

They include difficult points: zero flow, integer flow, constant and identical images, one pixel.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from afn_jax import nn, ops
from afn_jax.ops.warp import IMPLEMENTATIONS


@dataclasses.dataclass(frozen=True)
class Case:
    """A function and a point at which to check its derivatives.

    function: public name of the function.
    wrt: description of the differentiated arguments.
    point: description of the point.
    of: the function, called as `of(*inputs, *constants)`. Cases that share it and all shapes are
        compiled once.
    inputs: the point; derivatives are taken with respect to these arguments.
    constants: arguments that are not differentiated.
    sides: 2: compare with central differences. 1: compare with differences towards larger values,
        at a kink where the function is documented to use that slope. 0: a kink where derivatives
        only have to be finite.
    second: whether the function has a second derivative at the point.
    orders: 1 if a second derivative takes too long to compile, else 2.
    scale: standard deviation of the random directions, about the size of the inputs.
    step: step of the finite differences, in units of the directions.
    """

    function: str
    wrt: str
    point: str
    of: Callable[..., Any]
    inputs: tuple
    constants: tuple = ()
    sides: int = 2
    second: bool = True
    orders: int = 2
    scale: float = 1.0
    step: float = 1e-5

    @property
    def name(self) -> tuple[str, str, str]:
        return self.function, self.wrt, self.point


def random_array(*shape, seed=0):
    """Draws uniformly from [0, 1], the range of images."""
    return np.random.default_rng(seed).uniform(size=shape)


def random_flow(*shape, seed=0, reach=2):
    """Draws flow with fractional parts in [0.2, 0.8], away from the kinks of warping."""
    random = np.random.default_rng(seed)
    whole = random.integers(-reach, reach + 1, (*shape, 2))
    return whole + random.uniform(0.2, 0.8, (*shape, 2))


def ops_cases():
    image, flow = random_array(5, 6, 2), random_flow(5, 6)
    narrow = random_array(1, 5, 1), random_flow(1, 5)
    integer = np.round(flow)
    for padding, implementation in itertools.product(("border", "zeros"), IMPLEMENTATIONS):
        case = functools.partial(
            Case,
            "warp",
            f"image, flow ({padding}, {implementation})",
            of=functools.partial(ops.warp, padding=padding, implementation=implementation),
        )
        yield case("random", inputs=(image, flow))
        yield case("zero flow", inputs=(image, 0 * flow), sides=1)
        yield case("integer flow", inputs=(image, integer), sides=1)
        yield case("flow out of the image", inputs=(image, flow + 30.0))
        yield case("constant image", inputs=(np.ones_like(image), flow))
        yield case("one pixel high, one channel", inputs=narrow)

    def to_larger(flow):
        return ops.resize_flow(flow, (7, 9))

    def to_smaller(flow):
        return ops.resize_flow(flow, (3, 2))

    yield Case("resize_flow", "flow (to larger)", "random", to_larger, (flow,))
    yield Case("resize_flow", "flow (to smaller)", "random", to_smaller, (flow,))
    yield Case("resize_flow", "flow (to larger)", "one pixel high", to_larger, (narrow[1],))

    case = functools.partial(Case, "normalize_flow", "flow", of=ops.normalize_flow)
    yield case("random", inputs=(flow,))
    yield case("flow beyond the bound", inputs=(50 * flow,))
    yield case("flow at the bound", inputs=(np.where(flow > 0, 20.0, -20.0),), sides=0)

    pair = tuple(random_array(2, 3, 4, 2, seed=1))
    case = functools.partial(
        Case,
        "cost_volume",
        "features1, features2",
        of=functools.partial(ops.cost_volume, max_displacement=1),
    )
    yield case("random", inputs=pair)
    yield case("identical features", inputs=(pair[0], pair[0]))
    yield case("one pixel wide, one channel", inputs=tuple(random_array(2, 5, 1, 1, seed=2)))

    yield from representation_flow_cases()
    yield from tvl1_flow_cases()

    case = functools.partial(
        Case, "median_filter", "x", of=functools.partial(ops.median_filter, size=3)
    )
    yield case("random", inputs=(random_array(5, 6, seed=3),))
    yield case("one pixel high", inputs=(random_array(1, 6, seed=3),), sides=0)  # equal neighbors
    yield case("constant", inputs=(np.ones((5, 6)),), sides=0)


def representation_flow_cases():
    features = tuple(255 * random_array(2, 4, 5, 2, seed=4))
    constant = np.full((4, 5, 2), 100.0)

    def of_features(features1, features2):
        return flow_of(features1, features2, ops.initial_params("tvl1"))

    def of_features_sobel(features1, features2):
        return flow_of_sobel(features1, features2, ops.initial_params("sobel"))

    flow_of = functools.partial(ops.representation_flow, num_iterations=4)
    flow_of_sobel = functools.partial(flow_of, kernels="sobel")
    for kernels, of in (("tvl1", of_features), ("sobel", of_features_sobel)):
        case = functools.partial(
            Case,
            "representation_flow",
            f"features1, features2 ({kernels})",
            of=of,
            scale=50.0,
            step=1e-7,
        )
        yield case("random", inputs=features)
        # At zero flow, the norm of its gradient has a kink, so there is no second derivative.
        yield case("identical features", inputs=(features[0],) * 2, second=False)
        yield case("constant features", inputs=(constant, constant), sides=0)
        if kernels == "tvl1":
            narrow = tuple(255 * random_array(2, 1, 5, 1, seed=5))
            yield case("one pixel high, one channel", inputs=narrow)

    def of_params(params, features1, features2):
        return flow_of(features1, features2, params)

    def of_params_sobel(params, features1, features2):
        return flow_of_sobel(features1, features2, params)

    for kernels, of in (("tvl1", of_params), ("sobel", of_params_sobel)):
        case = functools.partial(
            Case,
            "representation_flow",
            f"params ({kernels})",
            of=of,
            orders=2 if kernels == "tvl1" else 1,
        )
        params = (in_float64(ops.initial_params(kernels)),)
        yield case("random", inputs=params, constants=features, scale=0.1)
        yield case("identical features", inputs=params, constants=(features[0],) * 2)
        yield case("constant features", inputs=params, constants=(constant, constant))


def in_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def tvl1_flow_cases():
    pair = tuple(random_array(2, 9, 10, seed=6))
    constant = np.full((9, 10), 0.5)
    settings = {
        "1 scale, 1 warp, no median": dict(num_scales=1, num_warps=1, median_size=1),
        "2 scales, 2 warps, median": dict(num_scales=2, num_warps=2, median_size=3),
    }
    for setting, options in settings.items():
        config = ops.TVL1Config(min_size=4, num_iterations=3, **options)
        case = functools.partial(
            Case,
            "tvl1_flow",
            f"frame1, frame2 ({setting})",
            of=functools.partial(ops.tvl1_flow, config=config),
            orders=2 if config.num_scales == 1 else 1,
            step=1e-7,
        )
        yield case("random", inputs=pair)
        yield case("identical frames", inputs=(pair[0], pair[0]), sides=0)
        yield case("constant frames", inputs=(constant, constant), sides=0)


def nn_cases():
    x = random_array(2, 3, 5, 6, 2, seed=24)
    for name, options, taps in (
        ("conv3d", dict(strides=(1, 1, 1)), (3, 3, 3)),
        ("conv3d", dict(strides=(2, 2, 2)), (1, 3, 3)),
        ("conv_transpose3d", dict(upsample_time=True), (4, 4, 4)),
        ("conv_transpose3d", dict(upsample_time=False), (3, 4, 4)),
    ):
        kernel = random_array(*taps, 2, 3, seed=25) - 0.5
        setting = ", ".join(f"{key}={value}" for key, value in options.items())
        for implementation in ("native", "folded"):
            of = functools.partial(getattr(nn, name), implementation=implementation, **options)
            wrt = f"x, kernel ({implementation}, {setting})"
            yield Case(name, wrt, "random", of, (x, kernel), orders=1)

    case = functools.partial(Case, "max_pool_frames", "x", of=nn.max_pool_frames)
    yield case("random", inputs=(x[0],))
    yield case("one pixel", inputs=(x[0, :, :1, :1],))
    yield case("constant", inputs=(np.ones_like(x[0]),), sides=0)
    case = functools.partial(Case, "normalize_clip", "features", of=nn.normalize_clip)
    yield case("random", inputs=(x,))
    yield case("one pixel", inputs=(x[:, :, :1, :1, :1],))
    yield case("constant", inputs=(np.ones_like(x),), sides=0)
    frames = random_array(3, 4, 3, seed=26)
    yield Case("imagenet_normalize", "frames", "random", nn.imagenet_normalize, (frames,))
