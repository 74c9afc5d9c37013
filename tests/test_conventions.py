"""Checks each sentence of `afn_jax/conventions.md` that has a mark, such as (C1).

Sizes and values are asymmetric, so that swapped axes, components or signs are detected.
"""

import inspect
import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import afn_jax
from afn_jax import losses, models, ops
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.transforms.crops import SpatialTransform
from afn_jax.metrics import EndpointErrorMetric, TopK
from afn_jax.nn import ResNetEncoder
from afn_jax.nn.normalization import IMAGENET_MEAN, IMAGENET_STD
from tests.filled_variables import filled_variables
from train.step import to_float

PAGE = Path(afn_jax.__file__).with_name("conventions.md")
NUM_FRAMES = 3


def moving_clip(num_frames=NUM_FRAMES, index=1):
    """A rendered video with exact flow; video 1 moves to the right, under a small camera motion."""
    source = SyntheticMotion(num_videos=8, size=(24, 40), num_frames=num_frames, seed=4)
    return source[index].clip(np.arange(num_frames))


def warp_error(image, flow, target, mask):
    """Computes the mean absolute error in gray levels where the mask is True."""
    warped = ops.warp(image.astype(np.float32), flow.astype(np.float32))
    return np.abs(np.asarray(warped) - target)[mask].mean()


@pytest.fixture(scope="module")
def prediction():
    """Frames (8 of 32 x 48), a small ActionFlowNet's prediction, and the input of its encoder."""
    model = models.create_model("actionflownet", num_classes=3, width=4, num_frames=8)
    frames = jax.random.uniform(jax.random.key(0), (2, 8, 32, 48, 3))
    variables = filled_variables(model, frames, train=False)
    seen = []

    def watch(next_function, args, kwargs, context):
        if isinstance(context.module, ResNetEncoder) and context.method_name == "__call__":
            seen.append(args[0])
        return next_function(*args, **kwargs)

    @jax.jit
    def apply(variables, frames):
        with nn.intercept_methods(watch):
            result = model.apply(variables, frames, train=False)
        return result, seen[-1]

    result, encoder_input = apply(variables, frames)
    return frames, result, encoder_input


def test_the_page_and_the_tests_have_the_same_marks():
    on_the_page = re.findall(r"\(C(\d+)\)", PAGE.read_text(encoding="utf-8"))
    tested = re.findall(r"^def test_c(\d+)_", Path(__file__).read_text(encoding="utf-8"), re.M)
    assert sorted(map(int, on_the_page)) == list(range(1, len(on_the_page) + 1))
    assert sorted(on_the_page) == sorted(tested)


@pytest.mark.slow
def test_c1_frames_are_batch_time_height_width_channel(prediction):
    assert moving_clip().frames.shape == (NUM_FRAMES, 24, 40, 3)
    frames, result, _ = prediction
    assert frames.shape == (2, 8, 32, 48, 3)
    assert result.flows[0].shape == (2, 8, 8, 12, 2)
    assert ops.resize_flow(result.flows[0], (5, 7)).shape == (2, 8, 5, 7, 2)  # (height, width)
    assert ops.pixel_grid(5, 7).shape == (5, 7, 2)
    # RGB: the wheel's pure right is (255, 0, 0).
    assert list(ops.flow_to_rgb(np.array([[[1, 0]]], np.float32))[0, 0]) == [255, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_c2_any_leading_axes(leading):
    random = np.random.default_rng(0)
    image = random.random((*leading, 4, 6, 3)).astype(np.float32)
    flow = random.normal(size=(*leading, 4, 6, 2)).astype(np.float32)
    mask = random.random((*leading, 4, 6)) < 0.7
    all_together = (
        ops.warp(image, flow),
        ops.warp_mask(flow),
        ops.resize_flow(flow, (3, 5)),
        ops.resize_mask(mask, (3, 5)),
        ops.flow_to_rgb(flow),
        losses.endpoint_error(flow, -flow),
    )
    for index in np.ndindex(leading):
        alone = (
            ops.warp(image[index], flow[index]),
            ops.warp_mask(flow[index]),
            ops.resize_flow(flow[index], (3, 5)),
            ops.resize_mask(mask[index], (3, 5)),
            ops.flow_to_rgb(flow[index]),
            losses.endpoint_error(flow[index], -flow[index]),
        )
        for together, one in zip(all_together, alone, strict=True):
            np.testing.assert_allclose(together[index].astype(float), one.astype(float), atol=1e-5)


def test_c3_the_key_comes_first():
    random_functions = []
    for module in (ops, losses):
        for name in module.__all__:
            parameters = list(inspect.signature(getattr(module, name)).parameters)
            assert "rng" not in parameters
            if "key" in parameters:
                random_functions.append(name)
                assert parameters[0] == "key"
    assert sorted(random_functions) == ["color_jitter", "gaussian_noise"]


def test_c4_flow_is_right_then_down():
    """Warping fetches a dot that moved 2 to the right and 1 down from its new place."""
    after = np.zeros((5, 7, 1), np.float32)
    after[3, 4] = 1
    flow = np.broadcast_to(np.array([2, 1], np.float32), (5, 7, 2))
    before = np.asarray(ops.warp(after, flow))
    assert np.argwhere(before[..., 0]).tolist() == [[2, 2]]
    np.testing.assert_array_equal(ops.pixel_grid(5, 7)[3, 4], [4, 3])
    # The rendered video that moves to the right, by its name.
    assert SyntheticMotion(8)[1].source.class_names[1] == "translate_right"
    clip = moving_clip(index=1)
    fastest = clip.flows[np.linalg.norm(clip.flows, axis=-1) > 1.2]
    assert np.median(fastest[:, 0]) > 0.5


def test_c5_the_warp_is_backward():
    clip = moving_clip()
    first, second, flow, mask = clip.frames[0], clip.frames[1], clip.flows[0], clip.flow_mask[0]
    right = warp_error(second, flow, first, mask)
    wrong = [
        warp_error(second, -flow, first, mask),
        warp_error(second, flow[..., ::-1], first, mask),
        warp_error(second, 0 * flow, first, mask),
        warp_error(first, flow, second, mask),
    ]
    assert 3 * right < min(wrong)


def test_c6_the_last_flow_is_the_future_flow(prediction):
    short, long = moving_clip(NUM_FRAMES), moving_clip(NUM_FRAMES + 1)
    np.testing.assert_array_equal(short.frames, long.frames[:NUM_FRAMES])
    assert len(short.flows) == len(short.frames) == NUM_FRAMES
    unseen, last = long.frames[NUM_FRAMES], short.frames[-1]
    flow, mask = short.flows[-1], short.flow_mask[-1]
    assert 3 * warp_error(unseen, flow, last, mask) < warp_error(unseen, 0 * flow, last, mask)
    frames, result, _ = prediction
    assert result.flows[0].shape[:2] == frames.shape[:2]


def test_c7_a_crop_keeps_the_values():
    flows = moving_clip().flows
    cropped = SpatialTransform(3, 5, 12, 20, (12, 20)).flows(flows)
    np.testing.assert_array_equal(cropped, flows[:, 3:15, 5:25])


def test_c8_resizing_scales_x_by_widths_and_y_by_heights():
    flow = np.broadcast_to(np.array([3, 5], np.float32), (4, 6, 2))
    expected = np.broadcast_to([3 * 3 / 6, 5 * 8 / 4], (8, 3, 2))
    np.testing.assert_allclose(ops.resize_flow(flow, (8, 3)), expected, rtol=1e-6)
    by_the_data = SpatialTransform(0, 0, 4, 6, (8, 3)).flows(flow[None])[0]
    np.testing.assert_allclose(by_the_data, expected, rtol=1e-6)


def test_c9_mirroring_negates_x_alone():
    clip = moving_clip()
    mirrored = SpatialTransform(0, 0, 24, 40, (24, 40), flip=True).apply(clip)
    np.testing.assert_array_equal(mirrored.frames, clip.frames[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.flow_mask, clip.flow_mask[:, :, ::-1])
    np.testing.assert_array_equal(mirrored.flows, clip.flows[:, :, ::-1] * [-1, 1])
    error = warp_error(
        mirrored.frames[1], mirrored.flows[0], mirrored.frames[0], mirrored.flow_mask[0]
    )
    assert error < 5


def test_c10_time_reversal_needs_the_backward_flow():
    """A zoom by 1.5 has flow 0.5 x; the way back has flow -x / 3, not -0.5 x."""
    x = np.arange(-20.0, 21)
    forward, backward = 0.5 * x, -x / 3

    def picture(x):
        return np.cos(x / 2)[None, :, None].astype(np.float32)

    def as_flow(x_flow):
        return np.stack([x_flow, 0 * x_flow], axis=-1)[None].astype(np.float32)

    before, after = picture(x), picture(x / 1.5)
    inner = np.abs(x[None]) < 13
    right = warp_error(after, as_flow(forward), before, inner)
    back = warp_error(before, as_flow(backward), after, inner)
    negated = warp_error(before, as_flow(-forward), after, inner)
    assert max(right, back) < 0.02 and negated > 0.2


def test_c11_flow_is_in_pixels_of_its_own_map(prediction):
    frames, result, _ = prediction
    height, width = frames.shape[2:4]
    small = result.flows[0]
    assert small.shape[2:4] == (height // 4, width // 4)
    # One pixel of the small map is four of the frames'.
    full = ops.resize_flow(jnp.ones_like(small), (height, width))
    np.testing.assert_allclose(full, 4 * np.ones((2, 8, height, width, 2)), rtol=1e-6)
    # The loss agrees: a small map that holds a quarter of the target is without error.
    target = np.broadcast_to(np.array([8, -4], np.float32), full.shape)
    quarter = target[:, :, : height // 4, : width // 4] / 4
    loss = losses.multiscale_endpoint_error([quarter], target, weights=[1.0])
    np.testing.assert_allclose(loss, 0, atol=1e-5)


def test_c12_integers_are_pixel_centers():
    image = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32)
    for padding in ("border", "zeros"):
        zero = np.zeros((4, 6, 2), np.float32)
        np.testing.assert_array_equal(ops.warp(image, zero, padding=padding), image)
    np.testing.assert_array_equal(ops.pixel_grid(4, 6)[0, 0], [0, 0])
    np.testing.assert_array_equal(ops.pixel_grid(4, 6)[-1, -1], [5, 3])


@pytest.mark.parametrize("new_width", [4, 6, 24])
def test_c13_resizing_has_half_pixel_centers(new_width):
    """The flow has only a y component, a ramp over the columns, so its values are not scaled."""
    columns = np.broadcast_to(np.arange(12, dtype=np.float32), (5, 12))
    flow = np.stack([0 * columns, columns], axis=-1)
    expected = (np.arange(new_width) + 0.5) * 12 / new_width - 0.5
    # Away from the ends, where there is nothing beyond to interpolate with.
    inner = slice(2, -2) if new_width > 12 else slice(1, -1)
    by_the_library = ops.resize_flow(flow, (5, new_width))[2, inner, 1]
    np.testing.assert_allclose(by_the_library, expected[inner], atol=1e-5)
    by_the_data = SpatialTransform(0, 0, 5, 12, (5, new_width)).flows(flow[None])[0, 2, inner, 1]
    np.testing.assert_allclose(by_the_data, expected[inner], atol=1e-5)


def test_c14_outside_is_the_edge_or_zero():
    image = np.arange(1, 13, dtype=np.float32).reshape(3, 4, 1)
    out_to_the_right = np.broadcast_to(np.array([9, 0], np.float32), (3, 4, 2))
    edge = np.broadcast_to(image[:, -1:], (3, 4, 1))
    np.testing.assert_array_equal(ops.warp(image, out_to_the_right), edge)
    zeros = ops.warp(image, out_to_the_right, padding="zeros")
    np.testing.assert_array_equal(zeros, np.zeros((3, 4, 1)))


def test_c15_warp_mask_ends_at_the_outermost_centers():
    flow = np.broadcast_to(np.array([1.5, -1], np.float32), (3, 5, 2))
    expected = np.zeros((3, 5), bool)
    expected[1:, :3] = True  # columns 0, 1, 2 land on 1.5, 2.5, 3.5; column 3 on 4.5, beyond 4
    np.testing.assert_array_equal(ops.warp_mask(flow), expected)


def test_c16_uint8_on_the_way_and_unit_range_in_models(prediction):
    frames = moving_clip().frames
    assert frames.dtype == np.uint8 and frames.max() > 100
    assert SpatialTransform(0, 0, 24, 40, (12, 20)).frames(frames).dtype == np.uint8
    given = to_float(jnp.array([0, 51, 255], jnp.uint8))
    assert given.dtype == jnp.float32
    np.testing.assert_allclose(given, [0, 0.2, 1], rtol=1e-6)


def test_c17_a_model_normalizes_its_own_input(prediction):
    frames, _, encoder_input = prediction
    expected = (np.asarray(frames) - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(encoder_input, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_c18_low_precision_is_computed_in_float32(dtype):
    """257 and 257.5 are not bfloat16 numbers, and 300 squared overflows float16."""
    image = jnp.broadcast_to(jnp.arange(600)[None, :, None] % 2, (1, 600, 1)).astype(dtype)
    flow = jnp.full((1, 600, 2), 0.5, dtype).at[..., 1].set(0)
    warped = ops.warp(image, flow)
    assert warped.dtype == dtype
    np.testing.assert_array_equal(np.asarray(warped, np.float32)[0, :-1, 0], np.full(599, 0.5))
    assert ops.resize_flow(flow, (1, 300)).dtype == dtype
    error = losses.endpoint_error(jnp.full((1, 1, 2), 300, dtype), jnp.zeros((1, 1, 2), dtype))
    assert error.dtype == jnp.float32
    np.testing.assert_allclose(error, 300 * np.sqrt(2), rtol=1e-6)
    logits = jnp.zeros((2, 3), dtype)
    assert losses.cross_entropy(logits, np.array([0, 1])).dtype == jnp.float32


@pytest.mark.parametrize("rubbish", [0.0, 1e10, np.nan, np.inf])
def test_c19_masked_values_do_not_count(rubbish):
    random = np.random.default_rng(0)
    flow, target = random.normal(size=(2, 4, 6, 2)).astype(np.float32)
    mask = np.ones((4, 6), bool)
    mask[1, 2:4] = False
    expected = np.hypot(*np.moveaxis(flow - target, -1, 0))[mask].mean()
    target[~mask] = rubbish

    def loss(flow):
        return losses.multiscale_endpoint_error([flow], target, weights=[1.0], mask=mask)

    value, gradient = jax.value_and_grad(loss)(flow)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_array_equal(gradient[~mask], np.zeros((2, 2)))
    assert np.isfinite(gradient).all()
    measured = EndpointErrorMetric.from_batch(flow, target, mask).compute()["epe"]
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_c20_a_loss_of_nothing_is_zero_and_a_metric_of_nothing_is_nan():
    flow, nothing = np.ones((4, 6, 2), np.float32), np.zeros((4, 6), bool)
    assert losses.masked_mean(flow[..., 0], nothing) == 0
    loss = losses.multiscale_endpoint_error([flow], -flow, weights=[1.0], mask=nothing)
    assert loss == 0
    assert np.isnan(EndpointErrorMetric.from_batch(flow, -flow, nothing).compute()["epe"])


def test_c21_resized_masks_are_strict():
    mask = np.ones((4, 6), bool)
    mask[3, 1] = False
    expected = np.ones((2, 3), bool)
    expected[1, 0] = False
    np.testing.assert_array_equal(ops.resize_mask(mask, (2, 3)), expected)
    by_the_data = SpatialTransform(0, 0, 4, 6, (2, 3)).mask(mask[None])[0]
    np.testing.assert_array_equal(by_the_data, expected)


def test_c22_padding_examples_do_not_count():
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    labels = np.array([0, 1, 0, 0])
    assert TopK.from_batch(scores, labels, np.array([True] * 4)).compute()["top1"] == 0.5
    padded = TopK.from_batch(scores, labels, np.array([True, True, False, False]))
    assert padded.compute()["top1"] == 1


def test_c23_colors_of_directions():
    def color(x, y):
        flow = np.array([[[x, y]]], np.float32)
        return [int(value) for value in ops.flow_to_rgb(flow, max_magnitude=1.0)[0, 0]]

    red, green, blue = color(1, 0)
    assert red > 250 and green < 5 and blue < 5
    red, green, blue = color(0, 1)
    assert red > 200 and green > 200 and blue < 5
    red, green, blue = color(-1, 0)
    assert red < 5 and green > 200 and blue > 200
    red, green, blue = color(0, -1)
    assert 50 < red < 150 and green < 5 and blue > 250
    assert color(0, 0) == [255, 255, 255]
    assert color(np.nan, 0) == color(2e9, 0) == [0, 0, 0]


def test_c24_the_slope_at_a_kink_is_the_right_and_lower_one():
    image = jnp.array([[0.0, 1.0, 4.0], [2.0, 7.0, 5.0], [9.0, 3.0, 8.0]])[..., None]
    at_center = jax.grad(lambda flow: ops.warp(image, flow)[1, 1, 0])(jnp.zeros((3, 3, 2)))
    np.testing.assert_allclose(at_center[1, 1], [5 - 7, 3 - 7], atol=1e-6)


def test_c25_a_vertical_flip_negates_y_alone():
    clip = moving_clip(index=2)
    frames, mask = clip.frames[:, ::-1], clip.flow_mask[0, ::-1]
    flow = clip.flows[0, ::-1]
    right = warp_error(frames[1], flow * np.array([1, -1], np.float32), frames[0], mask)
    wrong = warp_error(frames[1], flow, frames[0], mask)
    assert 3 * right < wrong
