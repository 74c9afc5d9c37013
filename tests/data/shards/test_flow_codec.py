"""Stored flow against the original flow and against the JPEG pairs of two-stream papers."""

import dataclasses

import cv2
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo
from afn_jax.data.shards.flow_codec import FlowFormat, decode_flow, encode_flow


def smooth_flow(largest: float, size=(96, 128), seed=0) -> np.ndarray:
    """Returns `[H, W, 2]` float32: camera motion and moving disks with sharp edges."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((*size, 2)).astype(np.float32)
    flow = cv2.GaussianBlur(noise, (0, 0), 12) * 4
    y, x = np.mgrid[: size[0], : size[1]]
    for _ in range(3):
        inside = np.hypot(x - rng.uniform(0, size[1]), y - rng.uniform(0, size[0])) < 18
        flow[inside] += rng.uniform(-1, 1, 2)
    return (flow * (largest / np.abs(flow).max())).astype(np.float32)


def two_jpegs(flow: np.ndarray, bound: float = 20.0) -> tuple[int, np.ndarray]:
    """Stores flow as two-stream papers do: two images, +-bound in 0..255."""
    size, planes = 0, []
    for plane in np.moveaxis(flow, -1, 0):
        gray = np.rint((np.clip(plane, -bound, bound) + bound) * 255 / (2 * bound))
        data = cv2.imencode(".jpg", gray.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        size += len(data)
        planes.append(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) * (2 * bound / 255) - bound)
    return size, np.stack(planes, -1)


def endpoint_error(flow, other):
    return float(np.linalg.norm(flow - other, axis=-1).mean())


@pytest.mark.parametrize("largest", [0.5, 3.0, 8.0, 16.0])
def test_smaller_and_no_worse_than_two_jpegs(largest):
    flow = smooth_flow(largest)
    data = encode_flow(flow, None, FlowFormat())
    stored, known = decode_flow(data, flow.shape[:2])
    size, reference = two_jpegs(flow)
    assert known.all() and stored.dtype == np.float32
    assert len(data) < size
    assert endpoint_error(stored, flow) < endpoint_error(reference, flow)
    assert endpoint_error(stored, flow) < 0.12


def test_quality_and_bound_trade_size_for_error():
    flow = smooth_flow(5.0)
    sizes, errors = [], []
    for quality in (50, 90, 98):
        data = encode_flow(flow, None, FlowFormat(quality=quality))
        sizes.append(len(data))
        errors.append(endpoint_error(decode_flow(data, flow.shape[:2])[0], flow))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_zero_flow_is_exact_and_takes_no_space():
    data = encode_flow(np.zeros((30, 41, 2)), None, FlowFormat())
    stored, known = decode_flow(data, (30, 41))
    assert len(data) == 8 and known.all() and not stored.any()


def test_unknown_flow_stays_unknown():
    flow = smooth_flow(6.0, size=(33, 47))
    flow[3, 4] = np.nan
    flow[5, 6] = (np.inf, 0)
    flow[7, 8] = (0, -8.1)
    flow[9, 10] = (7.9, -7.9)
    known = np.ones((33, 47), bool)
    known[20:, :5] = False
    stored, stored_known = decode_flow(encode_flow(flow, known, FlowFormat(bound=8.0)), known.shape)
    for row, column in [(3, 4), (5, 6), (7, 8)]:
        known[row, column] = False
    np.testing.assert_array_equal(stored_known, known)
    assert np.isfinite(stored).all() and np.abs(stored).max() <= 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bound": 0}, "bound: got 0"),
        ({"bound": np.nan}, "bound: got nan"),
        ({"quality": 0}, "quality: got 0"),
        ({"quality": 101}, "quality: got 101"),
    ],
)
def test_rejects_a_bad_format(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FlowFormat(), **change)


def test_rejects_damaged_bytes():
    data = encode_flow(smooth_flow(3.0), np.eye(96, 128, dtype=bool), FlowFormat())
    for damaged, size in [(data[:5], (96, 128)), (data[:40], (96, 128)), (data, (96, 120)),
                          (data[:-9], (96, 128))]:  # fmt: skip
        with pytest.raises(ValueError, match="not a stored flow"):
            decode_flow(damaged, size)


def test_real_flow(shared_data):
    paths = sorted((shared_data / "flow_middlebury" / "other-gt-flow").glob("*/flow10.flo"))
    assert paths
    for path in paths:
        flow, known = read_flo(path)
        data = encode_flow(flow, known, FlowFormat())
        stored, stored_known = decode_flow(data, known.shape)
        inside = known & (np.abs(flow) <= 20).all(-1)
        np.testing.assert_array_equal(stored_known, inside)
        assert endpoint_error(stored[inside], flow[inside]) < 0.12
