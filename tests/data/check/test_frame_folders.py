"""The doctor on folders of frames: names that leave a doubt, gaps, sizes and damaged pictures."""

import cv2
import numpy as np
import pytest

from afn_jax.data.check.__main__ import main
from afn_jax.data.check.frame_folders import inspect_frames


def write(folder, names, size=(12, 20)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / name), np.full((*size, 3), 90, np.uint8))


def test_names_missing_frames(tmp_path):
    write(tmp_path, [f"img_{i:05d}.png" for i in (1, 2, 3, 7, 8, 9, 12)])
    found = inspect_frames(str(tmp_path))
    assert (found.num_frames, found.problem) == (7, "")
    assert "numbers missing in 2 places, first after img_00003.png" in found.oddity


@pytest.mark.parametrize("step, first", [(1, 0), (5, 3), (-1, 90)])
def test_equal_steps_are_no_gaps(tmp_path, step, first):
    write(tmp_path, [f"{first + step * i}.png" for i in range(8)])
    found = inspect_frames(str(tmp_path))
    assert (found.num_frames, found.problem, found.oddity) == (8, "", "")


def test_names_files_beside_the_frames(tmp_path):
    write(tmp_path, ["1.png", "2.png", "3.png", "poster7.png"])
    for name in ("Thumbs.db", "._1.png"):
        (tmp_path / name).write_bytes(b"x")
    found = inspect_frames(str(tmp_path))
    assert found.oddity == "3 files beside the frames: ._1.png" and not found.problem


def test_names_damaged_pictures_and_several_sizes(tmp_path):
    write(tmp_path, [f"{i}.png" for i in range(8)])
    write(tmp_path, ["8.png"], size=(12, 22))
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes()[:-30])
    problem = inspect_frames(str(tmp_path)).problem
    assert "damaged pictures: 1, first: 3.png" in problem
    assert "pictures of 2 sizes: 7 of 20 x 12, 1 of 22 x 12" in problem


def test_the_command_names_the_option_that_decides(tmp_path, capsys):
    for name in ("Walk", "Run"):
        for video in range(3):
            folder = tmp_path / name / f"v{video}"
            write(folder, [f"{kind}_{i}.png" for kind in ("img", "depth") for i in range(3)])
            cv2.imwrite(str(folder / "img_9.png"), np.full((12, 20, 3), 10 * video, np.uint8))
    arguments = [str(tmp_path), "--num-frames", "2", "--threads", "1"]
    assert main(arguments) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "img_# (4 pictures), depth_# (3 pictures)" in text and "--data.frame-names" in text
    main([*arguments, "--frame-names", "img_*"])
    text = " ".join(capsys.readouterr().out.split())
    assert "groups of pictures" not in text
    assert "numbers missing in 1 place, first after img_2.png" in text
    assert "3 files beside the frames: depth_0.png" in text
