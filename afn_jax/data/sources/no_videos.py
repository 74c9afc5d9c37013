"""Error messages for lists without enough usable videos: the cause, and what to do."""

import os
import re
from collections import Counter
from collections.abc import Sequence

from afn_jax.data.source import Skipped
from afn_jax.data.sources.lists.video_list import VideoList

_ADVICE = (  # by the reason for leaving videos out; "" if the reason says it all
    (
        r"\d+ frames in the segment",
        "give segments, in seconds, that lie within their videos and have {min_frames} or more "
        "frames",
    ),
    (r"\d+ frames, fewer than", "give videos of {min_frames} or more frames"),
    (r"an empty file", "copy or download them again"),
    (r"not a regular file", "give files"),
    (r"a segment in seconds|listed |the same file|no flow pictures|the file has neither", ""),
)


def one_class(root: str, videos: VideoList) -> str:
    """Returns the message for a list or a folder of fewer than two classes."""
    name = ", ".join(map(repr, videos.class_names))
    if videos.unused is None:  # lists decide
        return (
            f"data.annotations: the {videos.origin} have only one class, {name}; list videos of "
            "two or more classes"
        )
    return (
        f"root: {root!r} holds only one class, {name}; give the folder above, with one subfolder "
        "of videos for each of two or more classes"
    )


def none_usable(videos: VideoList, skipped: Sequence[Skipped], min_frames: int) -> str:
    """Returns the message for a split without a usable video.

    Args:
        videos: the list of the split.
        skipped: its videos that were left out.
        min_frames: frames that a video must have.
    """
    if not videos.entries and videos.unused is None:
        return f"data.annotations: there are no {videos.origin}: the list is empty; add videos"
    if not videos.entries:
        return (
            f"root: there are no {videos.origin}: every class has one video, which trains; give "
            "two or more videos per class, or write trainlist01.txt and testlist01.txt"
        )
    examples = "; ".join(f"{skip.path}: {skip.reason}" for skip in skipped[:3])
    message = f"root: none of the {len(videos.entries)} {videos.origin} can be used ({examples})"
    advice = Counter(_advice(skip) for skip in skipped).most_common(1)[0][0]
    return f"{message}; {advice.format(min_frames=min_frames)}" if advice else message


def _advice(skip: Skipped) -> str:
    for pattern, advice in _ADVICE:
        if re.match(pattern, skip.reason):
            return advice
    return "" if os.path.isdir(skip.path) else "give videos that a player opens"
