"""Splits into training and test videos that are made from the names of the videos."""

import hashlib
from collections.abc import Mapping, Sequence

from afn_jax.data.sources.identity import clips
from afn_jax.data.sources.lists.groups import ucf_group

SPLITS = ("train", "test")


def check_split(split: str) -> None:
    """Raises ValueError if `split` is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; allowed: 'train' and 'test'")


def split_by_name(
    paths: Sequence[str],
    *,
    split: str,
    test_fraction: float = 0.2,
    files: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """Splits the videos of one class in the same way on every machine.

    Groups are ranked by a hash of their name; the first `test_fraction` of them are the test
    videos. Videos with names as in UCF101 (`v_Class_g07_c01.avi`) are grouped by their number g07,
    which ranks the same in every class; any other video is a group of its own, together with its
    other encodings and links (see `identity.clips`). If there is only one group, it is split by
    video, so that a class of two or more videos is in both splits. A class of one video is for
    training.

    Args:
        paths: relative to the folder of videos, with `/`.
        split: "train" or "test".
        test_fraction: fraction of the groups for testing, in (0, 1).
        files: `file_id` of files that may have several names among the paths.

    Returns:
        The paths of that split, sorted.
    """
    check_split(split)
    clip_of = clips(paths, files or {})
    ucf_of = {clip_of[path]: group for path in paths if (group := ucf_group(path))}
    group_of = {path: ucf_of.get(clip, clip) for path, clip in clip_of.items()}
    if len(set(group_of.values())) == 1:
        group_of = clip_of
    groups = sorted(set(group_of.values()), key=lambda group: (_stable_hash(group), group))
    num_test = min(max(1, round(test_fraction * len(groups))), len(groups) - 1)
    test = set(groups[:num_test])
    return tuple(sorted(p for p, group in group_of.items() if (group in test) == (split == "test")))


def _stable_hash(text: str) -> str:
    # Python's own hash() of a string differs from run to run.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
