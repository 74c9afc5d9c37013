"""Flow teachers: known shifts, small frames, and use in threads."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.teacher import ON_DEVICE, TEACHERS, DISTeacher, create_teacher

ROOT = Path(__file__).resolve().parents[2]


def texture(height, width, shift=(0.0, 0.0)):
    """`[H, W, 3]` uint8: waves over the plane, moved by `shift` = (x, y) pixels exactly."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    total = np.zeros((height, width))
    for _ in range(12):
        frequency = rng.uniform(-0.6, 0.6, 2)
        phase = rng.uniform(0, 2 * np.pi)
        total += np.sin(frequency[0] * (x - shift[0]) + frequency[1] * (y - shift[1]) + phase)
    gray = np.clip(127 + 20 * total, 0, 255).astype(np.uint8)
    return np.stack([gray, gray, gray], -1)


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (48, 64), (120, 160)])
@pytest.mark.parametrize("name", ["dis", "tvl1"])
def test_teachers_find_a_shift(name, size):
    shift = np.array([2.5, -1.25])
    frames = np.stack([texture(*size), texture(*size, shift), texture(*size, 2 * shift)])
    flows = create_teacher(name)(frames)
    assert flows.shape == (2, *size, 2) and flows.dtype == np.float32
    for flow in flows:
        np.testing.assert_allclose(np.median(flow, (0, 1)), shift, atol=0.25)


def test_flow_belongs_to_the_pixels_of_the_first_frame():
    """A square moves right on still ground: only its own pixels move, and to the right."""
    frames = np.stack([texture(80, 128), texture(80, 128)])
    square = 255 - texture(80, 128)[20:60, 20:60][::-1, ::-1]
    frames[0, 20:60, 20:60] = square
    frames[1, 20:60, 26:66] = square
    flow = DISTeacher("medium")(frames)[0]
    np.testing.assert_allclose(np.median(flow[28:52, 22:52], (0, 1)), [6, 0], atol=0.2)
    np.testing.assert_allclose(np.median(flow[28:52, 75:], (0, 1)), [0, 0], atol=0.2)
    np.testing.assert_allclose(np.median(flow[28:52, :12], (0, 1)), [0, 0], atol=0.2)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (11, 11), (8, 40), (40, 8)])
def test_tiny_frames(size):
    frames = np.stack([texture(*size), texture(*size, (0.5, 0.0))])
    flows = DISTeacher()(frames)
    assert flows.shape == (1, *size, 2)
    assert np.isfinite(flows).all()
    still = DISTeacher()(frames[[0, 0]])
    np.testing.assert_allclose(still, 0, atol=0.05)


def test_enlarged_frames_keep_their_units():
    shift = np.array([1.0, -0.5])
    flow = DISTeacher("medium")(np.stack([texture(8, 60), texture(8, 60, shift)]))[0]
    np.testing.assert_allclose(np.median(flow, (0, 1)), shift, atol=0.1)


def test_fewer_than_two_frames():
    assert DISTeacher()(texture(20, 30)[None]).shape == (0, 20, 30, 2)
    assert DISTeacher()(texture(20, 30)[None][:0]).shape == (0, 20, 30, 2)


def test_pickles_after_use_and_in_threads():
    frames = np.stack([texture(40, 60), texture(40, 60, (1.5, 0.5))])
    teacher = DISTeacher()
    expected = teacher(frames)
    results = {}

    def work(i):
        results[i] = [pickle.loads(pickle.dumps(teacher))(frames) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for flows in results.values():
        for flow in flows:
            np.testing.assert_array_equal(flow, expected)


def test_matches_opencv():
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    np.testing.assert_array_equal(DISTeacher("medium")(frames)[0], solver.calc(*gray, None))


def test_does_not_depend_on_the_frames_before():
    """OpenCV changes the scales of its solver for small frames."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    teacher = DISTeacher("medium")
    before = teacher(frames)
    teacher(frames[:, :16, :16])
    np.testing.assert_array_equal(teacher(frames), before)


def test_wide_and_low_frames_do_not_crash():
    """In a process of its own: OpenCV reads beyond its arrays for such frames."""
    code = """
import numpy as np
from afn_jax.data.teacher import DISTeacher
rng = np.random.default_rng(0)
for size in [(12, 40), (15, 90), (6, 60), (14, 640), (16, 80), (31, 80), (31, 400), (640, 14)]:
    frames = rng.integers(0, 256, (2, *size, 3), np.uint8)
    for preset in ("ultrafast", "fast", "medium"):
        flow = DISTeacher(preset)(frames)
        assert flow.shape == (1, *size, 2) and np.isfinite(flow).all(), (size, preset)
print("all")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr


def test_transposed_frames_have_transposed_flow():
    shift = np.array([1.0, -0.5])
    flow = DISTeacher("medium")(np.stack([texture(20, 80), texture(20, 80, shift)]))[0]
    np.testing.assert_allclose(np.median(flow, (0, 1)), shift, atol=0.1)


def test_rejects_unknown_names():
    with pytest.raises(ValueError, match="teacher: got 'raft'. Allowed are dis, tvl1"):
        create_teacher("raft")
    assert {name: create_teacher(name).name for name in TEACHERS} == {"dis": "dis", "tvl1": "tvl1"}


def test_the_settings_take_every_teacher():
    assert get_args(get_type_hints(DataConfig)["teacher"]) == (*TEACHERS, ON_DEVICE, "none")
