"""`motionnet_loss`, against loops over pixels and patches, and the authors' effective weights."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import MotionNetWeights, effective_weights, motionnet_loss
from afn_jax.losses.motionnet import CAFFE_JOINT, CAFFE_PRETRAIN, local_response_normalize

OPTIONS = ("reduction", "normalization")
LOSS = jax.jit(motionnet_loss, static_argnames=OPTIONS)
DIFFERENTIATED = jax.jit(
    jax.value_and_grad(motionnet_loss, argnums=(0, 1), has_aux=True), static_argnames=OPTIONS
)
WEIGHTS = MotionNetWeights((1.0, 0.5), (2.0, 3.0), (7.0, 11.0))
SIDES_224 = [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]


def first(weights, number):
    return MotionNetWeights(*(term[:number] for term in weights))


def example(batch=1, time=3, size=(24, 24), sizes=((24, 24),), dtype=np.float32):
    random = np.random.default_rng(0)
    frames = random.random((batch, time, *size, 3)).astype(dtype)
    flows = [1.5 * random.normal(size=(batch, time - 1, *map_size, 2)) for map_size in sizes]
    return frames, [flow.astype(dtype) for flow in flows]


def warp_by_loops(image, flow):
    """One image, pixel by pixel, with zeros outside."""
    height, width = image.shape[:2]
    padded = np.zeros((height + 2, width + 2, image.shape[2]))
    padded[1:-1, 1:-1] = image
    warped = np.zeros(image.shape)
    for row, column in np.ndindex(height, width):
        # Beyond the margin of zeros there are only more of them.
        x = min(max(column + float(flow[row, column, 0]), -1), width) + 1
        y = min(max(row + float(flow[row, column, 1]), -1), height) + 1
        left, top = min(int(x), width), min(int(y), height)
        x, y = x - left, y - top
        upper = (1 - x) * padded[top, left] + x * padded[top, left + 1]
        lower = (1 - x) * padded[top + 1, left] + x * padded[top + 1, left + 1]
        warped[row, column] = (1 - y) * upper + y * lower
    return warped


def penalty(x, alpha):
    return (x**2 + 1e-6) ** alpha


def gaussian(size):
    weights = np.exp(-((np.arange(size) - size / 2) ** 2) / (2 * (size / 6) ** 2))
    return weights / weights.sum()


def unlike_patches(image, reconstruction, partial_edge):
    """1 - SSIM of each patch of 8 and each channel of one pair of images."""
    height, width = image.shape[:2]
    values = []
    for top in range(0, height if partial_edge else max(height - 7, 1), 8):
        for left in range(0, width if partial_edge else max(width - 7, 1), 8):
            a = image[top : top + 8, left : left + 8]
            b = reconstruction[top : top + 8, left : left + 8]
            sides = (8, 8) if partial_edge else a.shape[:2]
            weights = np.outer(gaussian(sides[0]), gaussian(sides[1]))
            weights = weights[: a.shape[0], : a.shape[1], None]
            mean_a, mean_b = np.sum(weights * a, (0, 1)), np.sum(weights * b, (0, 1))
            variances = np.sum(weights * (a**2 + b**2), (0, 1)) - mean_a**2 - mean_b**2
            covariance = np.sum(weights * a * b, (0, 1)) - mean_a * mean_b
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values.extend(1 - luminance * (2 * covariance + 1e-3) / (variances + 1e-3))
    return values


def normalize_by_loops(frames, size=9, alpha=1.0, beta=0.7):
    """One clip: each channel by those around it in the row of all frames' BGR channels."""
    time = frames.shape[0]
    row = [frames[t, ..., 2 - c] - (104, 117, 123)[c] / 255 for t in range(time) for c in range(3)]
    normalized = np.zeros(frames.shape)
    for k, channel in enumerate(row):
        around = row[max(k - size // 2, 0) : k + size // 2 + 1]
        total = sum(other**2 for other in around)
        normalized[k // 3, ..., k % 3] = channel / (1 + alpha * total / size) ** beta
    return normalized


def loss_by_loops(frames, flows, weights, reduction="paper", normalization="none"):
    """Eq. 6 clip by clip, pair by pair and scale by scale; the three weighted terms."""
    frames = np.asarray(frames, np.float64)
    batch = frames.shape[0]
    if normalization == "lrn":
        frames = np.stack([normalize_by_loops(clip) for clip in frames])
    terms = np.zeros(3)
    for flow, *weight in zip(flows, *weights, strict=True):
        height, width = flow.shape[2:4]
        shape = (*frames.shape[:2], height, width, 3)
        small = np.asarray(jax.image.resize(frames, shape, "bilinear"), np.float64)
        border = int(0.1 * min(height, width) + 0.5)
        inside = slice(border, height - border), slice(border, width - border)
        pixels, unlike, bends = [], [], [[], [], [], []]
        for clip, pair in np.ndindex(flow.shape[:2]):
            image, one_flow = small[clip, pair], flow[clip, pair].astype(np.float64)
            reconstruction = warp_by_loops(small[clip, pair + 1], one_flow)
            pixels.append(penalty(255 * (image - reconstruction)[inside], 0.4))
            unlike.extend(unlike_patches(image, reconstruction, reduction == "caffe"))
            for component in (0, 1):
                for axis in (0, 1):
                    bend = np.diff(one_flow[inside][..., component], axis=axis)
                    bends[2 * component + axis].append(penalty(bend, 0.3))
        pixel, smooth = np.mean(pixels), sum(np.mean(bend) for bend in bends if np.size(bend))
        if reduction == "caffe":
            scale_terms = pixel / batch, smooth / 3 / batch, np.sum(unlike) / batch
        else:
            scale_terms = pixel, smooth, np.mean(unlike)
        terms += np.multiply(weight, scale_terms)
    return terms


@pytest.mark.parametrize(
    "reduction, normalization", [("paper", "none"), ("paper", "lrn"), ("caffe", "lrn")]
)
def test_values_are_those_of_loops(reduction, normalization, float64):
    frames, flows = example(2, size=(16, 24), sizes=((16, 24), (7, 9)), dtype=np.float64)
    options = dict(weights=WEIGHTS, reduction=reduction, normalization=normalization)
    loss, terms = LOSS(frames, flows, **options)
    expected = loss_by_loops(frames, flows, **options)
    assert loss.dtype == jnp.float64
    assert set(terms) == {"pixel", "smooth", "ssim"}
    for name, value in zip(("pixel", "smooth", "ssim"), expected, strict=True):
        np.testing.assert_allclose(terms[name], value, rtol=1e-9)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-9)


@pytest.mark.parametrize("reduction", ["paper", "caffe"])
def test_maps_of_one_pixel_or_one_row(reduction, float64):
    frames, flows = example(2, 2, size=(3, 7), sizes=((1, 9), (1, 1)), dtype=np.float64)
    options = dict(weights=WEIGHTS, reduction=reduction, normalization="none")
    loss, _ = LOSS(frames, flows, **options)
    np.testing.assert_allclose(loss, loss_by_loops(frames, flows, **options).sum(), rtol=1e-9)


def test_identical_frames_leave_the_penalties_of_zero():
    frames, flows = example()
    frames[:, 1:] = frames[:, :1]
    (_, terms), (_, gradients) = DIFFERENTIATED(frames, [0 * flows[0]], normalization="none")
    np.testing.assert_allclose(terms["pixel"], 1e-3**0.8 / 16, rtol=1e-4)
    np.testing.assert_allclose(terms["smooth"], 4 * 1e-3**0.6 / 48, rtol=1e-5)
    np.testing.assert_allclose(terms["ssim"], 0, atol=1e-3)
    np.testing.assert_array_equal(np.isfinite(gradients[0]), True)


@pytest.mark.parametrize("leading", [(), (2,), (2, 2)])
def test_normalization_is_that_of_loops(leading):
    frames = np.random.default_rng(0).random((*leading, 4, 2, 3, 3)).astype(np.float32)
    for options in (dict(), dict(size=5, alpha=0.5, beta=1.3), dict(size=1)):
        normalized = jax.jit(partial(local_response_normalize, **options))(frames)
        assert normalized.shape == frames.shape
        for index in np.ndindex(leading):
            expected = normalize_by_loops(frames[index], **options)
            np.testing.assert_allclose(normalized[index], expected, atol=1e-6)


def test_normalization_works_under_vmap_and_differentiates(float64):
    frames = np.random.default_rng(0).random((2, 3, 2, 1, 3))
    normalized = jax.vmap(local_response_normalize)(frames)
    np.testing.assert_allclose(normalized[1], normalize_by_loops(frames[1]), rtol=1e-12)
    check_grads(jax.jit(local_response_normalize), (frames[0],), order=1, modes=("fwd", "rev"))


def test_normalization_evens_out_contrast():
    """Of a large value only a power of 1 - 2 * .7 is left."""
    normalized = local_response_normalize(np.full((5, 1, 1, 3), 1e4, np.float32))
    np.testing.assert_allclose(normalized[2], 1e4**-0.4, rtol=1e-3)


@pytest.mark.parametrize(
    "weights, batch, ssim",
    [
        (CAFFE_PRETRAIN, 16, (58.8, 29.4, 19.2, 9.6, 4.8)),
        (CAFFE_JOINT, 8, (5.88, 2.94, 1.92, 0.96, 0.48)),
    ],
)
def test_effective_weights_of_the_authors(weights, batch, ssim):
    effective = effective_weights(weights, SIDES_224, batch_size=batch)
    np.testing.assert_allclose(effective.ssim, ssim, rtol=1e-9)
    np.testing.assert_allclose(effective.pixel, [1 / batch] * 5, rtol=1e-12)
    np.testing.assert_allclose(effective.smooth, [1 / (3 * batch)] * 5, rtol=1e-12)


def test_effective_weights_count_pairs_and_windows():
    weights = MotionNetWeights((2.0,), (3.0,), (0.1,))
    effective = effective_weights(weights, [(9, 24)], batch_size=1, num_pairs=4)
    np.testing.assert_allclose(effective, [[2.0], [1.0], [0.1 * 3 * 4 * 2 * 3]], rtol=1e-12)


@pytest.mark.parametrize("batch, time", [(1, 3), (3, 2)])
def test_both_reductions_agree_by_effective_weights(batch, time):
    """On sides that are multiples of 8, where both take the same windows."""
    sizes = ((16, 24), (8, 8))
    frames, flows = example(batch, time, sizes=sizes)
    for weights in (first(CAFFE_PRETRAIN, 2), first(CAFFE_JOINT, 2)):
        translated = effective_weights(weights, sizes, batch_size=batch, num_pairs=time - 1)
        caffe, caffe_terms = LOSS(frames, flows, weights=weights, reduction="caffe")
        paper, paper_terms = LOSS(frames, flows, weights=translated, reduction="paper")
        np.testing.assert_allclose(caffe, paper, rtol=1e-5)
        for name in caffe_terms:
            np.testing.assert_allclose(caffe_terms[name], paper_terms[name], rtol=1e-5)


@pytest.mark.parametrize(
    "reduction, weights",
    [
        # Two pairs and 3 x 3 windows.
        ("paper", MotionNetWeights((1 / 16,), (1 / 48,), (0.01 * 3 * 2 * 9,))),
        ("caffe", MotionNetWeights((1.0,), (1.0,), (0.01,))),
    ],
)
def test_the_weights_that_are_not_given_are_those_of_pretraining(reduction, weights):
    frames, flows = example()
    (loss, _), _ = DIFFERENTIATED(frames, flows, reduction=reduction, normalization="none")
    expected = loss_by_loops(frames, flows, weights, reduction=reduction).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def moving_texture(shift, size=24, time=3):
    """What is at p in a frame is at p + shift in the next."""
    texture = np.random.default_rng(0).random((size + 20, size + 20, 3))
    texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / 3
    x, y = shift
    frames = [
        texture[10 - t * y : 10 - t * y + size, 10 - t * x : 10 - t * x + size] for t in range(time)
    ]
    return np.stack(frames)[None].astype(np.float32)


@pytest.mark.parametrize("shift", [(2, 1), (-1, 2)])
@pytest.mark.parametrize("reduction", ["paper", "caffe"])
@pytest.mark.parametrize("normalization", ["none", "lrn"])
def test_the_true_flow_of_a_moving_texture_is_better_than_none(shift, reduction, normalization):
    frames = moving_texture(shift)
    true = np.broadcast_to(np.array(shift, np.float32), (1, 2, 24, 24, 2))
    options = dict(reduction=reduction, normalization=normalization)
    (loss, true_terms), _ = DIFFERENTIATED(frames, [true], **options)
    for wrong in (0 * true, -true, true[..., ::-1]):
        (wrong_loss, terms), _ = DIFFERENTIATED(frames, [wrong], **options)
        assert loss < 0.7 * wrong_loss
        assert true_terms["pixel"] < terms["pixel"] and true_terms["ssim"] < terms["ssim"]


@pytest.mark.parametrize("reduction", ["paper", "caffe"])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_gradients_at_whole_pixels_are_finite_and_those_of_frames_zero(reduction, value):
    frames, flows = example()
    flow = np.full_like(flows[0], value)
    for clip in (frames, np.full_like(frames, 0.7)):
        (loss, _), (frame_gradient, gradients) = DIFFERENTIATED(clip, [flow], reduction=reduction)
        assert jnp.isfinite(loss)
        np.testing.assert_array_equal(frame_gradient, np.zeros_like(frames))
        assert np.all(np.isfinite(gradients[0]))
        assert clip is not frames or np.any(gradients[0])


def test_a_map_of_one_pixel_has_a_finite_gradient():
    frames, flows = example(sizes=((1, 1),))
    (loss, _), (_, gradients) = DIFFERENTIATED(frames, [0 * flows[0]])
    assert jnp.isfinite(loss) and np.all(np.isfinite(gradients[0]))


def test_gradients_are_those_of_finite_differences(float64):
    frames, flows = example(1, 2, size=(9, 8), sizes=((9, 8),), dtype=np.float64)
    # Fractions far from the kinks of the interpolation.
    flow = np.floor(flows[0]) + 0.3 + 0.4 * (flows[0] - np.floor(flows[0]))

    def loss(flow):
        return motionnet_loss(frames, [flow], weights=first(WEIGHTS, 1), reduction="caffe")[0]

    # The penalty bends within 1e-3 of 255: a short step.
    check_grads(jax.jit(loss), (flow,), order=1, modes=("fwd", "rev"), eps=1e-7, rtol=1e-4)


def test_what_lies_in_the_border_matters_to_ssim_alone():
    frames, flows = example()
    flow = 0 * flows[0]
    far = flow + 9
    far[:, :, 2:-2, 2:-2] = 0
    (_, terms), _ = DIFFERENTIATED(frames, [flow], normalization="none")
    (_, far_terms), _ = DIFFERENTIATED(frames, [far], normalization="none")
    for name in ("pixel", "smooth"):
        np.testing.assert_allclose(terms[name], far_terms[name], rtol=1e-6)
    assert abs(terms["ssim"] - far_terms["ssim"]) > 1e-3


def test_without_jit_it_is_the_same():
    frames, flows = example(1, 2, size=(8, 8), sizes=((8, 8),))
    weights = first(WEIGHTS, 1)
    loss, terms = motionnet_loss(frames, flows, weights=weights, normalization="none")
    expected = loss_by_loops(frames, flows, weights)
    np.testing.assert_allclose(list(terms.values()), expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    frames, flows = example(1, 2, size=(8, 12), sizes=((8, 12),))
    frames, flow = jnp.asarray(frames, dtype), jnp.asarray(flows[0], dtype)
    weights = first(WEIGHTS, 1)
    loss, terms = LOSS(frames, [flow], weights=weights, normalization="none")
    assert {loss.dtype, *(term.dtype for term in terms.values())} == {jnp.dtype(jnp.float32)}
    rounded = np.asarray(frames, np.float32), [np.asarray(flow, np.float32)]
    np.testing.assert_allclose(loss, loss_by_loops(*rounded, weights).sum(), rtol=1e-4)


@pytest.mark.parametrize("reduction, normalization", [("paper", "none"), ("caffe", "lrn")])
@pytest.mark.parametrize("value", [0.0, 1e-40, 3e38, -3e38])
def test_nasty_frames_and_flows_stay_finite(reduction, normalization, value):
    frames, flows = example()
    mixed = np.resize(np.array([value, 0, -value, 0.5, value], np.float32), frames.shape)
    mixed_flow = np.resize(np.array([value, 0.3, -value], np.float32), flows[0].shape)
    for nasty_frames in (frames, np.full_like(frames, value), mixed):
        for flow in (flows[0], np.full_like(flows[0], value), mixed_flow):
            (loss, terms), (_, gradients) = DIFFERENTIATED(
                nasty_frames, [flow], reduction=reduction, normalization=normalization
            )
            assert jnp.isfinite(loss) and all(jnp.isfinite(term) for term in terms.values())
            assert jnp.all(jnp.isfinite(gradients[0]))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(frames=np.zeros((3, 8, 8, 3), np.float32)), r"frames has shape \(3, 8, 8, 3\)"),
        (dict(frames=np.zeros((2, 1, 8, 8, 3), np.float32)), "with two frames or more"),
        (dict(frames=np.zeros((2, 3, 8, 8, 1), np.float32)), r"must be \[batch, time, H, W, 3\]"),
        (dict(flows=[]), "flows is empty; pass one or more scales, finest first"),
        (dict(flows=[np.zeros((2, 3, 4, 4, 2), np.float32)]), r"each must be \[2, 2, h, w, 2\]"),
        (dict(flows=[np.zeros((1, 2, 4, 4, 2), np.float32)]), r"a map of shape \(1, 2, 4, 4, 2\)"),
        (dict(flows=[np.zeros((2, 2, 4, 4, 3), np.float32)]), "flows has a map of shape"),
        (dict(flows=[np.zeros((2, 4, 4, 2), np.float32)]), "flows has a map of shape"),
        (dict(weights=CAFFE_JOINT), r"weights has \[5, 5, 5\] values and flows 2 scales"),
        (dict(weights=WEIGHTS._replace(ssim=(1.0,))), r"weights has \[2, 2, 1\] values"),
        (dict(reduction="mean"), 'reduction is \'mean\'; choose "paper" or "caffe"'),
        (dict(normalization="l2"), 'normalization is \'l2\'; choose "lrn" or "none"'),
    ],
)
def test_bad_input_is_named(change, message):
    frames, flows = example(2, size=(8, 8), sizes=((8, 8), (4, 4)))
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(motionnet_loss)(**(dict(frames=frames, flows=flows) | change))


@pytest.mark.parametrize("reduction", ["paper", "caffe"])
def test_more_scales_than_the_authors_have_need_weights(reduction):
    frames, flows = example(size=(8, 8), sizes=((2, 2),) * 6)
    with pytest.raises(ValueError, match=r"weights has \[5, 5, 5\] values and flows 6 scales"):
        motionnet_loss(frames, flows, reduction=reduction)
