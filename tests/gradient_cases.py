"""What `test_gradients.py` differentiates: all functions of `ops`, `losses` and `nn`, and where.

The nasty points are among them: zero flow, integer flow, constant and identical images, one pixel.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from afn_jax import losses, nn, ops


@dataclasses.dataclass(frozen=True)
class Case:
    """A function at a point.

    function: its public name.
    wrt: what the derivatives are taken of.
    point: what is special about the input.
    of: called as `of(*inputs, *constants)`. Cases with the same one and the same shapes are
        compiled once.
    inputs: the point: what is differentiated.
    constants: what is not.
    sides: 2 = against central differences; 1 = against differences towards larger values alone,
        at a kink where the function promises that side; 0 = a kink where nothing is promised but
        that the derivatives are finite.
    second: whether the function has a second derivative there.
    orders: 1 where compiling a second derivative takes too long.
    scale: of the directions, as large as the inputs are.
    step: of the differences, in units of the directions.
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
    """In [0, 1], as images are."""
    return np.random.default_rng(seed).uniform(size=shape)


def random_flow(*shape, seed=0, reach=2):
    """Fractions in [0.2, 0.8], where warping has no kink nearby."""
    random = np.random.default_rng(seed)
    whole = random.integers(-reach, reach + 1, (*shape, 2))
    return whole + random.uniform(0.2, 0.8, (*shape, 2))


def ops_cases():
    image, flow = random_array(5, 6, 2), random_flow(5, 6)
    narrow = random_array(1, 5, 1), random_flow(1, 5)
    integer = np.round(flow)
    for padding in ("border", "zeros"):
        case = functools.partial(
            Case,
            "warp",
            f"image, flow ({padding})",
            of=functools.partial(ops.warp, padding=padding),
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
    yield case("one pixel high", inputs=(random_array(1, 6, seed=3),), sides=0)  # equal neighbours
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
        # At zero flow the length of its gradient has a kink, which shows in the second derivative.
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


def loss_cases():
    pair = tuple(random_array(2, 9, 10, 3, seed=7))
    same = (pair[0], pair[0])
    constant = (np.full((9, 10, 3), 0.5), np.full((9, 10, 3), 0.25))
    narrow = tuple(random_array(2, 1, 9, 1, seed=8))
    flow, target = random_flow(9, 10, seed=9), random_flow(9, 10, seed=10)
    zero = 0 * flow
    mask = random_array(9, 10, seed=11) > 0.3

    # The penalties bend within their epsilon of a thousandth: differences must be smaller.
    near = dict(step=1e-7)
    yield Case("charbonnier", "x", "random", losses.charbonnier, (target,))
    yield Case("charbonnier", "x", "zero", losses.charbonnier, (zero,), **near)

    def photometric(image, reconstruction, mask):
        return losses.photometric_loss(image, reconstruction, mask=mask)

    case = functools.partial(
        Case, "photometric_loss", "image, reconstruction", of=photometric, constants=(mask,)
    )
    yield case("random", inputs=pair, step=1e-6)
    yield case("identical images", inputs=same, **near)
    yield case("constant images", inputs=constant)

    def l1(image, reconstruction, mask):
        return losses.l1_loss(image, reconstruction, mask=mask)

    case = functools.partial(Case, "l1_loss", "image, reconstruction", of=l1, constants=(mask,))
    yield case("random", inputs=pair)
    yield case("identical images", inputs=same, sides=0)
    yield case("constant images", inputs=constant)

    for name in ("ssim", "ssim_loss"):
        case = functools.partial(Case, name, "image1, image2")
        of = getattr(losses, name)
        yield case("random", of=of, inputs=pair)
        yield case("identical images", of=of, inputs=same)
        # A variance of 0 is where it is kept from falling below.
        yield case("constant images", of=of, inputs=constant, sides=0)
        if name == "ssim":
            partial = functools.partial(of, window="gaussian", edge="partial")
            yield case("random, partial patches", of=partial, inputs=pair)
            yield case("one pixel high, one channel", of=partial, inputs=narrow)

    def census(image1, image2, mask):
        return losses.census_loss(image1, image2, mask=mask)

    case = functools.partial(
        Case, "census_loss", "image1, image2", of=census, constants=(mask,), **near
    )
    yield case("random", inputs=pair)
    yield case("identical images", inputs=same)
    yield case("constant images", inputs=constant)

    def smoothness(flow, mask):
        return losses.smoothness_loss(flow, mask=mask)

    case = functools.partial(Case, "smoothness_loss", "flow", of=smoothness)
    yield case("random", inputs=(flow,), constants=(mask,), step=1e-6)
    yield case("zero flow", inputs=(zero,), constants=(mask,), **near)
    yield case("one pixel high", inputs=(flow[:1],), constants=(mask[:1],), step=1e-6)

    def edge_aware(flow, image, mask):
        return losses.edge_aware_smoothness_loss(flow, image, mask=mask)

    case = functools.partial(
        Case, "edge_aware_smoothness_loss", "flow, image", of=edge_aware, constants=(mask,)
    )
    yield case("random", inputs=(flow, pair[0]))
    yield case("zero flow", inputs=(zero, pair[0]), sides=0)
    yield case("constant image", inputs=(flow, constant[0]), sides=0)

    case = functools.partial(Case, "endpoint_error", "flow, target", of=losses.endpoint_error)
    yield case("random", inputs=(flow, target))
    yield case("zero flow", inputs=(zero, target))
    yield case("equal flows", inputs=(flow, flow), sides=0)

    case = functools.partial(Case, "masked_mean", "values", of=losses.masked_mean)
    yield case("random", inputs=(pair[0][..., 0],), constants=(mask,))
    yield case("nothing counts", inputs=(pair[0][..., 0],), constants=(mask & False,))

    flows = (random_flow(9, 10, seed=12), random_flow(4, 5, seed=13))
    still = tuple(0 * x for x in flows)

    def multiscale(flows, target, mask):
        return losses.multiscale_endpoint_error(flows, target, weights=(0.7, 0.3), mask=mask)

    case = functools.partial(
        Case, "multiscale_endpoint_error", "flows, target", of=multiscale, constants=(mask,)
    )
    yield case("random", inputs=(flows, target))
    yield case("zero flow", inputs=(still, target))
    yield case("equal flows", inputs=(still, zero), sides=0)

    logits, labels = 3 * random_array(2, 4, seed=14), np.array([1, 3])

    def smoothed(logits, labels):
        return losses.cross_entropy(logits, labels, label_smoothing=0.1)

    case = functools.partial(Case, "cross_entropy", "logits", of=smoothed, constants=(labels,))
    yield case("random", inputs=(logits,))
    yield case("zero logits", inputs=(0 * logits,))
    yield case("logits of hundreds", inputs=(200 * logits,))

    yield from model_loss_cases(logits, labels)


def model_loss_cases(logits, labels):
    frames = random_array(2, 3, 10, 11, 3, seed=15)
    # A single scale: more are a sum, and long to compile.
    flows = (random_flow(2, 2, 8, 9, seed=17),)
    zero = tuple(0 * flow for flow in flows)
    constant = np.full_like(frames, 0.5)

    def motionnet_paper(flows, frames):
        return losses.motionnet_loss(frames, flows, reduction="paper")[0]

    def motionnet_caffe(flows, frames):
        return losses.motionnet_loss(frames, flows, reduction="caffe", normalization="none")[0]

    for name, of in (("paper", motionnet_paper), ("caffe, no lrn", motionnet_caffe)):
        case = functools.partial(
            Case,
            "motionnet_loss",
            f"flows ({name})",
            of=of,
            constants=(frames,),
            orders=2 if name == "paper" else 1,
            step=1e-7,
        )
        yield case("random", inputs=(flows,))
        yield case("zero flow", inputs=(zero,), sides=1)
        if name == "paper":
            yield case("integer flow", inputs=(tuple(map(np.round, flows)),), sides=1)
            far = tuple(flow + 50.0 for flow in flows)
            yield case("flow out of the image", inputs=(far,), sides=0)
            yield case("constant frames", inputs=(flows,), constants=(constant,), sides=0)

    small, small_flows = frames[0, :2], (random_flow(5, 6, seed=18),)
    small_zero = tuple(0 * flow for flow in small_flows)

    def uf_tsn(flows, backward_flows, image1, image2):
        return losses.uf_tsn_loss(image1, image2, flows, backward_flows)[0]

    case = functools.partial(
        Case, "uf_tsn_loss", "flows, backward_flows", of=uf_tsn, constants=tuple(small), step=1e-6
    )
    back = tuple(flow[::-1, ::-1] for flow in small_flows)
    yield case("random", inputs=(small_flows, back))
    yield case("zero flow", inputs=(small_zero, small_zero), sides=0)
    far = tuple(flow + 30.0 for flow in small_flows)
    yield case("flow out of the image", inputs=(far, back), sides=0)  # equal census codes
    same = (small[0], small[0])
    yield case("identical images", inputs=(small_flows, back), constants=same)
    yield case("constant images", inputs=(small_flows, back), constants=tuple(0 * small), sides=0)

    flow, target = random_flow(2, 2, 4, 5, seed=19), random_flow(2, 2, 4, 5, seed=20)
    mask = random_array(2, 2, 4, 5, seed=21) > 0.3

    def flow_loss(flow, target, mask):
        return losses.flow_loss(flow, target, mask=mask)

    case = functools.partial(Case, "flow_loss", "flow, target", of=flow_loss, constants=(mask,))
    yield case("random", inputs=(flow, target))
    yield case("equal flows", inputs=(flow, flow), sides=0)

    def multitask(logits, flow, labels, target, mask):
        return losses.multitask_loss(logits, labels, flow, target, flow_weight=0.5, mask=mask)[0]

    case = functools.partial(Case, "multitask_loss", "logits, flow", of=multitask)
    yield case("random", inputs=(logits, flow), constants=(labels, target, mask))
    yield case("equal flows", inputs=(logits, flow), constants=(labels, flow, mask), sides=0)

    scales = tuple(random_flow(2, *size, seed=22) for size in ((4, 5), (3, 4), (2, 3), (1, 1)))

    def two_frame(logits, flows, labels, target, mask):
        return losses.two_frame_multitask_loss(logits, labels, flows, target, mask=mask)[0]

    case = functools.partial(Case, "two_frame_multitask_loss", "logits, flows", of=two_frame)
    constants = (labels, target[:, 0], mask[:, 0])
    yield case("random", inputs=(logits, scales), constants=constants)
    nowhere = (labels, 0 * target[:, 0], mask[:, 0])
    still = tuple(0 * scale for scale in scales)
    yield case("equal flows", inputs=(logits, still), constants=nowhere, sides=0)

    triplets = tuple(random_array(2, 2, 2, 4, 5, 1, seed=23))

    def jointflow3d(logits, flows, labels, previous, current):
        return losses.jointflow3d_loss(logits, labels, previous, current, flows)[0]

    case = functools.partial(
        Case,
        "jointflow3d_loss",
        "logits, flows",
        of=jointflow3d,
        constants=(labels, *triplets),
        step=1e-7,
    )
    yield case("random", inputs=(logits, flow))
    yield case("zero flow", inputs=(logits, 0 * flow), sides=1)
    yield case("flow out of the image", inputs=(logits, flow + 30.0))
    level = np.full_like(triplets[0], 0.5)
    yield case("constant images", inputs=(logits, flow), constants=(labels, level, level))


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


CASES = (*ops_cases(), *loss_cases(), *nn_cases())
