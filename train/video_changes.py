"""Compares lists of videos with those that a run folder remembers."""

from collections.abc import Sequence
from pathlib import Path

from afn_jax.data.sources.identity import Footage, footage, shared_videos
from afn_jax.near_names import printable
from train.data_record import DataRecord, Listed, VideoDigest, lists_trained_on, read_list
from train.video_names import name_key

WORDS = {"train": "training", "test": "test"}


def changes_of_videos(
    former: DataRecord, now: dict[str, VideoDigest], lists: dict[str, list[Listed]], run_dir: Path
) -> list[str]:
    """Describes how the videos of some splits differ from those in the run folder.

    Args:
        former: what the run folder remembers.
        now: digests of the videos of the data, by split.
        lists: the videos of the data, by split; empty if they were generated.
        run_dir: the run folder, which has the former lists.
    """
    parts = [
        part
        for split in now
        if split in lists
        for part in _changes(split, getattr(former, split), now[split], lists[split], run_dir)
    ]
    if any("other content" in part for part in parts):
        known = [read_list(run_dir, split, getattr(former, split)) or () for split in WORDS]
        parts += exchanged_folders(sum(map(list, known), []), sum(lists.values(), []))
    return parts


def _changes(
    split: str, former: VideoDigest, now: VideoDigest, videos: list[Listed], run_dir: Path
) -> list[str]:
    """Describes how the videos of one split differ from those in the run folder."""
    word = WORDS[split]
    same_data = not (former.data and now.data) or former.data == now.data
    parts = []
    if former.content == now.content and former.order != now.order:
        parts.append(f"the {word} videos are in another order")
    if former.content == now.content and same_data:
        return parts
    listed = read_list(run_dir, split, former)
    if listed is None and former.content == now.content:
        return [*parts, f"the {word} videos have other content"]
    if listed is None:
        return [f"other {word} videos ({former.count} before, {now.count} now)"]
    key = name_key(*([video.name for video in some] for some in (listed, videos)))
    before, after = ({key(video.name): video for video in some} for some in (listed, videos))
    both = [(before[name], after[name]) for name in before if name in after]
    kinds = {
        "removed": [before[name].name for name in before if name not in after],
        "added": [after[name].name for name in after if name not in before],
        "relabeled": [old.name for old, new in both if old.label != new.label],
        "with another spelling": [new.name for old, new in both if old.name != new.name],
        "with the same name but other content": [
            new.name for old, new in both if other_content(old, new)
        ],
    }
    return parts + [
        f"{len(names)} {word} video{'s' * (len(names) > 1)} {kind} (first: {printable(names[0])})"
        for kind, names in kinds.items()
        if names
    ]


def other_content(first: Listed, second: Listed) -> bool:
    """Whether two videos differ in their number of frames or in the size of their file."""
    pairs = ((first.frames, second.frames), (first.size, second.size))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def exchanged_folders(before: Sequence[Listed], after: Sequence[Listed]) -> list[str]:
    """Finds folders whose videos have become those of another folder, under the same file names.

    Returns:
        One line that names the folders, if there are any.
    """
    key = name_key(*([video.name for video in some] for some in (before, after)))
    known = {key(video.name): video for video in before}
    folders: dict[tuple, set[str]] = {}  # by what tells videos apart
    for video in before:
        where = (_file(video.name), video.frames, video.size)
        folders.setdefault(where, set()).add(_folder(video.name))
    origins: dict[str, set[str]] = {}  # by folder: the folders that all its videos may come from
    for video in after:
        old = known.get(key(video.name))
        if old is not None and other_content(old, video):
            found = folders.get((_file(video.name), video.frames, video.size), set())
            folder = _folder(video.name)
            origins[folder] = origins.get(folder, found) & found
    moved = [(folder, min(found)) for folder, found in sorted(origins.items()) if found]
    if not moved:
        return []
    shown = [
        f"{printable(folder)} now has those of {printable(origin)}" for folder, origin in moved
    ]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return [f"the videos of folders look exchanged: {', '.join(shown[:5])}{more}"]


def leak_note(run_dir: Path, test: Sequence[Listed]) -> str:
    """Says that a run was trained on videos that it is tested on; "" if it was not."""
    names, both = [video.name for video in test], set()
    for trained in lists_trained_on(run_dir):
        key = name_key(trained, names)
        sides = ([_compared(name, key) for name in some] for some in (trained, names))
        both |= {shared.test for shared in shared_videos(*sides)}
    if not both:
        return ""
    return (
        f"{run_dir} was trained on {len(both)} of the {len(test)} test videos (first: "
        f"{printable(min(both))}), so its test accuracy is too high; write lists that keep them "
        "apart"
    )


def _compared(name: str, key) -> Footage:
    video = footage(name)
    return video._replace(path=key(video.path))


def _file(name: str) -> str:
    return name[len(_folder(name)) :]


def _folder(name: str) -> str:
    return footage(name).path.rpartition("/")[0]
