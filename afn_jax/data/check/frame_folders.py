"""Inspection of folders of frames: every picture decoded, names that leave a doubt or a gap."""

import os
from collections import Counter

import cv2

from afn_jax.data.check.dataset import Inspected
from afn_jax.data.files.image import decode_picture
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.frame_folder import FoundPictures, find_pictures


def inspect_frames(folder: str, frame_names: str = "") -> Inspected:
    """Decodes every frame of a folder.

    Args:
        folder: its path.
        frame_names: as for `find_frames`.
    """
    try:
        found = find_pictures(folder, frame_names)
    except VideoReadError as error:
        return Inspected(problem=str(error).removeprefix(f"{folder}: "))
    sizes, damaged = Counter(), []
    paths = [found.frames.path(int(number)) for number in found.frames.numbers]
    for path in paths:
        try:
            sizes[decode_picture(path, cv2.IMREAD_COLOR).shape[1::-1]] += 1
        except (ValueError, OSError):
            damaged.append(os.path.basename(path))
    problems = []
    if damaged:
        problems.append(f"damaged pictures: {len(damaged)}, first: {damaged[0]}")
    if len(sizes) > 1:
        shown = [f"{n} of {width} x {height}" for (width, height), n in sizes.most_common(3)]
        problems.append(f"pictures of {len(sizes)} sizes: {', '.join(shown)}")
    return Inspected(
        num_frames=len(paths), problem=", ".join(problems), oddity=", ".join(_oddities(found))
    )


def _oddities(found: FoundPictures) -> list[str]:
    oddities = []
    gaps = found.frames.gaps()
    if gaps:
        name = os.path.basename(found.frames.path(gaps[0]))
        oddities.append(
            f"numbers missing in {len(gaps)} place{'s' * (len(gaps) > 1)}, first after {name}; its "
            "neighbors are used as consecutive frames"
        )
    if found.rest:
        count = len(found.rest)
        oddities.append(f"{count} file{'s' * (count > 1)} beside the frames: {found.rest[0]}")
    return oddities
