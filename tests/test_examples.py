"""Runs the scripts in `examples/` as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo
from afn_jax.data.sources.lists.csv_list import read_whole_csv
from afn_jax.data.sources.synthetic_motion import CLASS_NAMES
from afn_jax.data.sources.synthetic_untrimmed import SyntheticUntrimmed
from afn_jax.predict.frames.inputs import find_videos
from afn_jax.predict.frames.stream import open_frames

ROOT = Path(__file__).resolve().parent.parent


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def pictures(folder):
    """Writes two images of smooth noise, the second shifted right by 3 px; returns their paths."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    cv2.imwrite(str(folder / "a b.png"), noise[:, 5:-5])
    cv2.imwrite(str(folder / "c.png"), noise[:, 2:-8])
    return folder / "a b.png", folder / "c.png"


def test_flow_between_two_images(tmp_path):
    result = run("flow_between_two_images.py", *pictures(tmp_path), "--out", tmp_path / "flow")
    assert result.returncode == 0, result.stderr
    flow, known = read_flo(tmp_path / "flow.flo")
    assert known.all()
    np.testing.assert_allclose(np.median(flow, (0, 1)), [3, 0], atol=0.1)
    # Red means right.
    blue, green, red = np.median(cv2.imread(str(tmp_path / "flow.png")), (0, 1))
    assert red > 200 and blue < 120 and green < 120


@pytest.mark.slow
def test_flow_between_two_images_rejects_bad_arguments(tmp_path):
    first, second = pictures(tmp_path)
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((5, 6, 3), np.uint8))
    for arguments, message in [
        ([first, tmp_path / "small.png"], "60 x 80 and 5 x 6; they must have the same size"),
        ([first, second, "--lam", "-1"], "lam is -1.0; pass a number above 0"),
    ]:
        result = run("flow_between_two_images.py", *arguments)
        assert result.returncode == 1 and message in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_train_with_flow_layer():
    result = run("train_with_flow_layer.py", "--steps", 2, "--clips", 64)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("top-1 on 512 held-out clips") == 2
    assert "learned: tau 0.25" in result.stdout


def test_untrimmed_videos(tmp_path):
    out = tmp_path / "untrimmed"
    arguments = ("--out", out, "--videos", 2, "--actions", 1, 2, "--enlarge", 2)
    result = run("untrimmed_videos.py", *arguments)
    assert result.returncode == 0, result.stderr
    listed = read_whole_csv(out, out / "segments.csv")
    for index in range(2):
        name = f"untrimmed-test-0-{index}.mp4"
        video = SyntheticUntrimmed(2, split="test", num_actions=(1, 2))[index]
        entries = [entry for entry in listed.entries if entry.path == name]
        assert [
            (CLASS_NAMES.index(listed.class_names[entry.label]), entry.start, entry.end)
            for entry in entries
        ] == [pytest.approx(segment) for segment in video.segments]
        with open_frames(str(out / name), short_side=40) as frames:
            shown = [frame.image for frame in frames]
        assert len(shown) == video.num_frames and shown[0].shape == (40, 40, 3)
    # They are videos to `predict`, unlike the films that it writes itself.
    assert [Path(path).name for path in find_videos([str(out)]).videos] == [
        f"untrimmed-test-0-{index}.mp4" for index in range(2)
    ]
    wrong = run("untrimmed_videos.py", "--actions", 0, 2)
    assert wrong.returncode == 1 and "num_actions: got (0, 2)" in wrong.stderr
