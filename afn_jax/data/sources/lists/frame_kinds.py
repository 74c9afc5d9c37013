"""The choice of one kind of pictures among the folders of frames of a list."""

import dataclasses
import os
from collections.abc import Iterable

from afn_jax.data.sources.kinds import stem_of
from afn_jax.data.sources.lists.video_list import VideoList
from afn_jax.data.sources.modalities import is_chosen, mixed_kinds
from afn_jax.data.sources.unused import Tally


def choose_kind(videos: VideoList, frame_names: str) -> VideoList:
    """Leaves out the folders of frames that a pattern with a folder does not choose.

    Args:
        videos: the list.
        frame_names: as `DataConfig.frame_names`, such as `rgb/*`.

    Raises:
        ValueError: the pattern chooses no folder.
    """
    if "/" not in frame_names:
        return videos
    entries, rest = [], Tally(videos.unused or ())
    for entry in videos.entries:
        if stem_of(entry.path) != entry.path or is_chosen(entry.path, frame_names):
            entries.append(entry)
        else:
            rest.add("folder of frames", entry.path, f"not one of {frame_names}")
    if not entries:
        raise ValueError(
            f"data.frame_names: none of the {len(videos.entries)} {videos.origin} is in a folder "
            f"like {frame_names.rpartition('/')[0]!r}; the first is {videos.entries[0].path}"
        )
    unused = None if videos.unused is None else rest.items()
    return dataclasses.replace(videos, entries=tuple(entries), unused=unused)


def refuse_mixed(root: str, names: Iterable[str]) -> None:
    """Raises ValueError if clips have folders of several kinds of pictures among the names."""
    if mixed := mixed_kinds([name for name in names if os.path.isdir(os.path.join(root, name))]):
        raise ValueError(f"data.frame_names: {mixed}")
