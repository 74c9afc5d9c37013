"""Clips whose kinds of pictures lie in folders of their own."""

import hashlib

import cv2
import numpy as np
import pytest

from afn_jax.data.check.__main__ import main
from afn_jax.data.config import DataConfig
from afn_jax.data.sources import create_source
from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.modalities import (
    clip_and_folder,
    flow_pair,
    is_chosen,
    mixed_clips,
    mixed_kinds,
    picture_kind,
)

KINDS = "rgb img images frames color depth ir mask masks seg segmentation skeleton rgb_frames"
OTHERS = "person01 cam1 view_2 segment1 seg12 flowers irene imgur front colorado frames_7 run x y"


def write(folder, count=4, level=100):
    folder.mkdir(parents=True)
    for number in range(count):
        picture = np.full((12, 20, 3), level + number, np.uint8)
        assert cv2.imwrite(str(folder / f"img_{number:03d}.png"), picture)


def make(root, form, kinds, count=5):
    for name in ("Walk", "Run"):
        for number in range(count):
            for kind in kinds:
                write(root / name / form.format(clip=f"v{number}", kind=kind))
    return root


def splits(root, **settings):
    config = DataConfig(
        source="frame-folder",
        root=str(root),
        num_frames=2,
        short_side=12,
        index_cache="none",
        **settings,
    )
    return [create_source(config, split, 0) for split in ("train", "test")]


def test_names_of_kinds():
    assert all(picture_kind(name) == name for name in KINDS.split())
    assert {picture_kind(n) for n in "flow flow_x FLOW_y flowx optical_flow u v".split()} == {
        "flow"
    }
    assert not any(picture_kind(name) for name in OTHERS.split())


def test_the_clip_of_a_path():
    for path in ("A/v0/rgb", "A/rgb/v0", "A/v0/rgb.avi", "A/rgb/v0.mp4"):
        assert clip_and_folder(path) == ("A/v0", "rgb")
    for path in ("A/rgb", "rgb/A", "rgb/A/v0", "A/v0/cam1", "v0"):
        assert clip_and_folder(path) is None
    letters = [f"signs/alphabet/{letter}" for letter in "uvw"]
    assert not mixed_clips([*letters, "A/rgb/v0", "A/depth/v1", "A/v2/img"])
    assert mixed_kinds(["A/v0/rgb", "A/v0/depth"]) == ""  # one may be a coincidence


def test_flow_pairs():
    assert flow_pair(["img", "flow_x", "flow_y"]) == ("flow_x", "flow_y")
    assert flow_pair(["u", "depth", "rgb", "v"]) == ("u", "v")
    for names in (["u", "v"], ["u", "v", "w"], ["flow_x", "img"], ["x", "y", "clip"]):
        assert flow_pair(names) == ()


def test_patterns_with_a_folder():
    assert is_chosen("A/v0/RGB", "rgb/img_*") and is_chosen("A/cam1/v0", "cam*/*")
    assert not is_chosen("A/v0/depth", "rgb/*") and is_chosen("A/v0/depth", "img_*")


@pytest.mark.parametrize("form", ["{clip}/{kind}", "{kind}/{clip}"])
def test_several_kinds_are_refused_until_the_option_decides(tmp_path, capsys, form):
    root = make(tmp_path, form, ["rgb", "depth"])
    message = (
        r"8 clips .*: rgb \(8 clips\), depth \(8 clips\), such as .*--data.frame-names 'rgb/\*'"
    )
    with pytest.raises(ValueError, match=message):
        splits(root)
    for pattern, kind in (("rgb/*", "rgb"), ("Depth/img_", "depth")):
        train, test = splits(root, frame_names=pattern)
        names = [video.name for source in (train, test) for video in source]
        clips = [f"v{number}" for number in range(5)]
        expected = {f"{c}/{form.format(clip=v, kind=kind)}" for c in ("Walk", "Run") for v in clips}
        assert len(train) == 8 and len(names) == 10 and set(names) == expected
        assert [(item.kind, item.count) for item in train.unused] == [("folder of frames", 8)]
    with pytest.raises(ValueError, match="none of the 16 train videos .* a folder like 'ir'"):
        splits(root, frame_names="ir/*")
    arguments = [str(root), "--num-frames", "2", "--threads", "1"]
    capsys.readouterr()
    assert main(arguments) == 1
    text = capsys.readouterr().out
    assert "HARM      1  several folders of frames per clip" in text
    assert "rgb (10 clips), depth (10 clips)" in text and "--frame-names 'rgb/*'" in text
    main([*arguments, "--frame-names", "rgb/*"])
    text = capsys.readouterr().out
    assert "several folders" not in text and "not one of rgb/*" in text


@pytest.mark.parametrize("form", ["{clip}/{kind}", "{kind}/{clip}"])
def test_parts_of_a_clip_stay_in_one_split(tmp_path, form):
    root = make(tmp_path, form, ["rgb", "depth", "mask"], count=7)
    sides = [
        {
            clip_and_folder(e.path)[0]
            for e in read_video_folder(root, s, None, 1, frames=True).entries
        }
        for s in ("train", "test")
    ]
    assert len(sides[0]) + len(sides[1]) == 14 and not sides[0] & sides[1]
    files = [f"A/v{number}/{kind}.avi" for number in range(9) for kind in ("rgb", "depth")]
    sides = [{p.split("/")[1] for p in split_by_name(files, split=s)} for s in ("train", "test")]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("pair", [("flow_x", "flow_y"), ("u", "v")])
@pytest.mark.parametrize("form", ["{clip}/{kind}", "{kind}/{clip}"])
def test_flow_in_folders_beside_the_frames_is_read(tmp_path, pair, form):
    for name in ("Walk", "Run"):
        for number in range(5):
            for kind, level in (("img", 50), (pair[0], 100), (pair[1], 200)):
                write(tmp_path / name / form.format(clip=f"v{number}", kind=kind), level=level)
    train, test = splits(tmp_path)
    assert (len(train), len(test)) == (8, 2) and not train.skipped
    assert [video.name.count("img") for video in train] == [1] * 8
    clip = train[0].clip(np.array([0, 2]))
    levels = np.array([[100, 200], [102, 202]])
    np.testing.assert_allclose(clip.flows[:, 3, 5], (levels / 255 * 2 - 1) * 20, atol=1e-4)
    assert {item.reason for item in train.unused} == {
        f"{pair[0]} and {pair[1]}: components of flow"
    }


def by_hash(names):
    """Returns the fifth of the names with the smallest SHA-256, as splits by name choose tests."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return set(ranked[: max(1, round(len(names) / 5))])


@pytest.mark.parametrize("folders", [["cam1", "cam2"], ["person01", "person02"], ["rgb"]])
def test_folders_of_other_names_are_videos_of_their_own(tmp_path, folders):
    root = make(tmp_path, "{clip}/{kind}", folders)
    train, test = splits(root)
    assert not train.unused and len(train) + len(test) == 10 * len(folders)
    for name in ("Walk", "Run"):
        paths = [f"{name}/v{number}/{folder}" for number in range(5) for folder in folders]
        assert {v.name for v in test if v.name.startswith(name)} == by_hash(paths)


def test_kinds_of_pictures_are_not_classes(tmp_path):
    for kind in ("rgb", "depth"):
        for number in range(3):
            write(tmp_path / kind / "Walk" / f"v{number}")
    with pytest.raises(ValueError, match=r"kinds of pictures, \['depth', 'rgb'\], not classes"):
        splits(tmp_path)
