"""Cases of `test_gradients.py` for `losses`; see `gradient_cases`."""

import functools

import numpy as np

from afn_jax import losses
from tests.gradient_cases import Case, random_array, random_flow


def loss_cases():
    pair = tuple(random_array(2, 9, 10, 3, seed=7))
    same = (pair[0], pair[0])
    constant = (np.full((9, 10, 3), 0.5), np.full((9, 10, 3), 0.25))
    narrow = tuple(random_array(2, 1, 9, 1, seed=8))
    flow, target = random_flow(9, 10, seed=9), random_flow(9, 10, seed=10)
    zero = 0 * flow
    mask = random_array(9, 10, seed=11) > 0.3

    # The penalties curve within epsilon = 1e-3 of zero, so differences must be smaller.
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
        # The variance is clipped at 0, so there is a kink.
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
    # One scale: several are a sum, and take long to compile.
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
