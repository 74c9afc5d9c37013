"""`motionnet_loss`, compared with loops over pixels and patches; the authors' effective weights."""

import chex
import jax
import numpy as np
import pytest

from afn_jax.losses import MotionNetWeights, effective_weights, motionnet_loss
from afn_jax.losses.motionnet import CAFFE_JOINT, CAFFE_PRETRAIN, local_response_normalize
from tests import references

OPTIONS = ("reduction", "normalization")
LOSS = jax.jit(motionnet_loss, static_argnames=OPTIONS)
DIFFERENTIATED = jax.jit(
    jax.value_and_grad(motionnet_loss, argnums=(0, 1), has_aux=True), static_argnames=OPTIONS
)
NORMALIZE = jax.jit(local_response_normalize, static_argnames=("size", "alpha", "beta"))
NAMES = ("pixel", "smooth", "ssim")
WEIGHTS = MotionNetWeights((1.0, 0.5), (2.0, 3.0), (7.0, 11.0))
SIDES_224 = [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]


def example(batch=1, time=3, size=(24, 24), sizes=((24, 24),), dtype=np.float32):
    random = np.random.default_rng(0)
    frames = random.random((batch, time, *size, 3)).astype(dtype)
    flows = [1.5 * random.normal(size=(batch, time - 1, *map_size, 2)) for map_size in sizes]
    return frames, [flow.astype(dtype) for flow in flows]


def normalize_by_loops(frames, size=9, alpha=1.0, beta=0.7):
    """Normalizes one clip like Caffe's LRN layer across the BGR channels of each frame."""
    normalized = np.zeros(frames.shape)
    for t, frame in enumerate(frames):
        row = [frame[..., 2 - c] - (104, 117, 123)[c] / 255 for c in range(3)]
        for c, channel in enumerate(row):
            around = row[max(c - size // 2, 0) : c + size // 2 + 1]
            total = sum(other**2 for other in around)
            normalized[t, ..., c] = channel / (1 + alpha * total / size) ** beta
    return normalized


def terms_by_loops(frames, flows, weights, reduction="paper", normalization="none"):
    """Computes the three weighted terms of Eq. 6, scale by scale."""
    frames = np.asarray(frames, np.float64)
    if normalization == "lrn":
        frames = np.stack([normalize_by_loops(clip) for clip in frames])
    terms = np.zeros(3)
    for flow, *weight in zip(flows, *weights, strict=True):
        flow = np.asarray(flow, np.float64)
        height, width = flow.shape[2:4]
        shape = (*frames.shape[:2], height, width, 3)
        small = np.asarray(jax.image.resize(frames, shape, "bilinear"), np.float64)
        border = int(0.1 * min(height, width) + 0.5)
        inside = (slice(None),) * 2 + (
            slice(border, height - border),
            slice(border, width - border),
        )
        edge = "partial" if reduction == "caffe" or min(height, width) >= 8 else "inside"
        image, warped, unlike = small[:, :-1], np.zeros(small[:, 1:].shape), []
        for pair in np.ndindex(flow.shape[:2]):
            warped[pair] = references.warp(small[:, 1:][pair], flow[pair], "zeros")
            similarity = references.ssim(image[pair], warped[pair], window="gaussian", edge=edge)
            unlike.extend(1 - similarity.ravel())
        pixel = np.mean(references.penalty(255 * (image - warped)[inside], 0.4))
        smooth = references.smoothness(flow[inside])
        if reduction == "caffe":
            scale_terms = np.array([pixel, smooth / 3, np.sum(unlike)]) / len(frames)
        else:
            scale_terms = pixel, smooth, np.mean(unlike)
        terms += np.multiply(weight, scale_terms)
    return terms


@pytest.mark.parametrize(
    "reduction, normalization", [("paper", "none"), ("paper", "lrn"), ("caffe", "lrn")]
)
def test_values_match_loops(reduction, normalization, float64):
    options = dict(weights=WEIGHTS, reduction=reduction, normalization=normalization)
    for size, sizes in (((16, 24), ((16, 24), (7, 9))), ((3, 7), ((1, 9), (1, 1)))):
        frames, flows = example(2, size=size, sizes=sizes, dtype=np.float64)
        loss, terms = LOSS(frames, flows, **options)
        expected = terms_by_loops(frames, flows, **options)
        assert set(terms) == set(NAMES)
        np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-9)
        np.testing.assert_allclose(loss, expected.sum(), rtol=1e-9)


@pytest.mark.parametrize("normalization", ["none", "lrn"])
def test_identical_frames_and_zero_flow_have_the_penalty_of_zero(normalization):
    frames, flows = example()
    frames[:, 1:] = frames[:, :1]
    options = dict(reduction="paper", normalization=normalization)
    (_, terms), (_, gradients) = DIFFERENTIATED(frames, [0 * flows[0]], **options)
    np.testing.assert_allclose(terms["pixel"], 1e-3**0.8 / 16, rtol=1e-4)
    np.testing.assert_allclose(terms["smooth"], 4 * 1e-3**0.6 / 48, rtol=1e-5)
    np.testing.assert_allclose(terms["ssim"], 0, atol=1e-3)
    assert np.all(np.isfinite(gradients[0]))


@pytest.mark.parametrize("options", [dict(), dict(size=5, alpha=0.5, beta=1.3)])
def test_normalization_matches_loops(options, float64):
    frames = np.random.default_rng(0).random((2, 4, 2, 3, 3))
    expected = [normalize_by_loops(clip, **options) for clip in frames]
    np.testing.assert_allclose(NORMALIZE(frames, **options), expected, rtol=1e-12)


def test_normalization_compresses_large_values():
    """A large value x becomes x / (3 x^2 / 9)^0.7."""
    normalized = NORMALIZE(np.full((5, 1, 1, 3), 1e4, np.float32))
    np.testing.assert_allclose(normalized, 3**0.7 * 1e4**-0.4, rtol=1e-3)


def test_rejects_windows_smaller_than_the_channels_of_a_frame():
    with pytest.raises(ValueError, match="size is 3; pass 5 or more"):
        local_response_normalize(np.zeros((1, 1, 3), np.float32), size=3)


def test_normalization_of_a_frame_does_not_depend_on_other_frames():
    frames = np.random.default_rng(0).random((4, 2, 3, 3)).astype(np.float32)
    expected = np.stack([NORMALIZE(frame) for frame in frames])
    np.testing.assert_array_equal(NORMALIZE(frames), expected)


def test_flow_in_double_precision_is_not_rounded(float64):
    frames, flows = example()
    flows = [flow.astype(np.float64) for flow in flows]
    mixed, _ = LOSS(frames, flows)
    exact, _ = LOSS(frames.astype(np.float64), flows)
    assert mixed == exact and mixed.dtype == "float64"


@pytest.mark.parametrize(
    "weights, batch, ssim",
    [
        (CAFFE_PRETRAIN, 16, (58.8, 29.4, 19.2, 9.6, 4.8)),
        (CAFFE_JOINT, 8, (5.88, 2.94, 1.92, 0.96, 0.48)),
    ],
)
def test_effective_weights_match_the_authors(weights, batch, ssim):
    effective = effective_weights(weights, SIDES_224, batch_size=batch)
    np.testing.assert_allclose(effective.ssim, ssim, rtol=1e-9)
    np.testing.assert_allclose(effective.pixel, [1 / batch] * 5, rtol=1e-12)
    np.testing.assert_allclose(effective.smooth, [1 / (3 * batch)] * 5, rtol=1e-12)


def test_effective_weights_are_multiplied_by_pairs_and_windows():
    weights = MotionNetWeights((2.0,), (3.0,), (0.1,))
    effective = effective_weights(weights, [(9, 24)], batch_size=1, num_pairs=4)
    np.testing.assert_allclose(effective, [[2.0], [1.0], [0.1 * 3 * 4 * 2 * 3]], rtol=1e-12)


def test_both_reductions_agree_with_effective_weights():
    """For sides of 8 or more, both use the same patches, including those that exceed the image."""
    sizes = ((20, 12), (8, 10))
    frames, flows = example(3, 2, sizes=sizes)
    for weights in (CAFFE_PRETRAIN, CAFFE_JOINT):
        weights = MotionNetWeights(*(term[:2] for term in weights))
        translated = effective_weights(weights, sizes, batch_size=3, num_pairs=1)
        caffe = LOSS(frames, flows, weights=weights, reduction="caffe")
        paper = LOSS(frames, flows, weights=translated, reduction="paper")
        chex.assert_trees_all_close(caffe, paper, rtol=1e-5)


@pytest.mark.parametrize(
    "reduction, weights",
    [
        # The example has two pairs and 3 x 3 windows.
        ("paper", MotionNetWeights((1 / 16,), (1 / 48,), (0.01 * 3 * 2 * 9,))),
        ("caffe", MotionNetWeights((1.0,), (1.0,), (0.01,))),
    ],
)
def test_default_weights_are_those_of_pretraining(reduction, weights):
    frames, flows = example()
    (loss, _), _ = DIFFERENTIATED(frames, flows, reduction=reduction, normalization="none")
    expected = terms_by_loops(frames, flows, weights, reduction=reduction).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "reduction, normalization", [("paper", "none"), ("paper", "lrn"), ("caffe", "none")]
)
def test_true_flow_of_a_moving_texture_has_the_lowest_loss(reduction, normalization):
    options = dict(reduction=reduction, normalization=normalization)
    for shift in ((2, 1), (-1, 2)):
        frames = references.moving_texture(shift, size=24, time=3)[None]
        true = np.broadcast_to(np.array(shift, np.float32), (1, 2, 24, 24, 2))
        (loss, true_terms), _ = DIFFERENTIATED(frames, [true], **options)
        for wrong in (0 * true, -true, true[..., ::-1]):
            (wrong_loss, terms), (frame_gradient, _) = DIFFERENTIATED(frames, [wrong], **options)
            assert loss < 0.7 * wrong_loss
            assert true_terms["pixel"] < terms["pixel"] and true_terms["ssim"] < terms["ssim"]
            assert not np.any(frame_gradient)  # frames are data


def test_flow_in_the_border_only_affects_ssim():
    frames, flows = example()
    flow = 0 * flows[0]
    far = flow + 9
    far[:, :, 2:-2, 2:-2] = 0
    (_, terms), _ = DIFFERENTIATED(frames, [flow], normalization="none")
    (_, far_terms), _ = DIFFERENTIATED(frames, [far], normalization="none")
    for name in ("pixel", "smooth"):
        np.testing.assert_allclose(terms[name], far_terms[name], rtol=1e-6)
    assert abs(terms["ssim"] - far_terms["ssim"]) > 1e-3
