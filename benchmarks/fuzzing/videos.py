"""Parsers of videos: files in many containers and codecs, and folders of frames."""

from pathlib import Path

import numpy as np

from afn_jax.data.files.video import decode_all, index_video, read_frames
from afn_jax.data.sources.frame_folder import FrameFolder, find_frames
from benchmarks.fuzzing.flow_files import _reshape_picture
from benchmarks.fuzzing.parser import Files, Parser, require
from benchmarks.fuzzing.pictures import AV1_FILE, VIDEOS, frames, picture, video


def _video_seeds() -> list[Files]:
    clip = frames(8, 48, 64)  # smaller ones corrupt memory of the encoder x265
    made = ((container, video(container, *form, clip)) for container, *form in VIDEOS)
    seeds = [{f"a.{container}": content} for container, content in made if content]
    return [*seeds, {"a.mp4": AV1_FILE.read_bytes()}]


def _read_video(folder: Path) -> None:
    (path,) = folder.iterdir()
    index = index_video(path)
    require(index.num_frames > 0 and len(index.pts) == index.num_frames, "number of frames")
    require(index.height > 0 and index.width > 0 and index.fps >= 0, "size and rate")
    if index.seekable:
        require(bool((np.diff(index.pts) > 0).all()), "times do not increase")
    require(bool((np.diff(index.keyframes) >= 0).all()), "key frames do not increase")
    wanted = np.array([index.num_frames - 1, 0, index.num_frames // 2])
    read = read_frames(path, index, wanted, short_side=24)
    require(read.dtype == np.uint8 and len(read) == 3 and read.shape[-1] == 3, "frames")
    require(min(read.shape[1:3]) == 24, f"shorter side {read.shape}")
    decode_all(path)


def _folder_seeds() -> list[Files]:
    clip = frames(3, 24, 32)
    seeds = []
    for extension in (".jpg", ".png"):
        files: Files = {}
        for number, image in enumerate(clip, 1):
            files[f"v/img_{number:05d}{extension}"] = picture(extension, image)
            for part in ("x", "y"):
                files[f"v/flow_{part}_{number:05d}{extension}"] = picture(extension, image[..., 0])
        seeds.append(files)
    return seeds


def _read_folder(folder: Path) -> None:
    found, flow = find_frames(str(folder), "v")
    video = FrameFolder("v", 0, found, flow, short_side=24)
    clip = video.clip(np.array([0, len(found.numbers) - 1]))
    require(clip.frames.dtype == np.uint8 and clip.frames.shape[0] == 2, "frames")
    require(min(clip.frames.shape[1:3]) == 24, f"shorter side {clip.frames.shape}")
    if video.has_flow:
        require(clip.flows.shape == (*clip.frames.shape[:3], 2), "flow")
        require(bool(np.isfinite(clip.flows).all()), "flow is not finite")


def _name_seeds() -> list[Files]:
    numbered = [f"img_{i:05d}.jpg" for i in range(1, 6)]
    flow = [f"flow_{part}_{i:05d}.jpg" for i in range(1, 5) for part in "xy"]
    seconds = [f"{i / 10:.2f}.png" for i in range(5)]
    names = (numbered, numbered + flow, seconds, [*numbered, "IMG_00006.JPG", "notes.txt"])
    return [{"names.txt": "\n".join(part).encode()} for part in names]


def _read_names(folder: Path) -> None:
    """Makes a folder of pictures with the names in a text."""
    names = (folder / "names.txt").read_bytes().split(b"\n")[:60]
    (folder / "v").mkdir()
    image = picture(".jpg", frames(1, 16, 16)[0])
    made = 0
    for name in names:
        try:
            path = folder / "v" / name.decode("utf-8", "surrogateescape")
            if path.parent == folder / "v" and path.name == path.parts[-1] != "..":
                path.write_bytes(image)
                made += 1
        except (OSError, ValueError):  # a name that the file system does not take
            continue
    if made:
        found, _ = find_frames(str(folder), "v")
        require(0 < len(found.numbers) <= made, f"{len(found.numbers)} of {made} frames")
        clip = FrameFolder("v", 0, found, None).clip(np.arange(len(found.numbers)))
        require(clip.frames.shape == (len(found.numbers), 16, 16, 3), "frames")


PARSERS = [
    Parser(
        "videos",
        "index_video, read_frames, decode_all",
        ("VideoReadError",),
        _video_seeds,
        _read_video,
        cost=20,
    ),
    Parser(
        "frame folders",
        "find_frames, FrameFolder.clip",
        ("VideoReadError",),
        _folder_seeds,
        _read_folder,
        reshape=_reshape_picture,
        cost=2,
    ),
    Parser(
        "names of frames",
        "find_frames, FrameFolder.clip",
        ("VideoReadError",),
        _name_seeds,
        _read_names,
        text=True,
        cost=2,
    ),
]
