"""Findings about videos that occur more than once, by the rule of `sources.identity`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from afn_jax.data.check.dataset import Dataset, Finding, Inspected, Listed
from afn_jax.data.sources.identity import (
    SAME_CLIP,
    Footage,
    footage,
    same_clips,
    same_names,
    shared_videos,
)
from afn_jax.data.sources.lists.groups import hmdb_group, ucf_group


def find_same_videos(dataset: Dataset, files: Mapping[str, Inspected]) -> list[Finding]:
    """Returns the findings about same videos, those of both splits first; some without items."""
    train, test = (_footage(dataset, files, split) for split in ("train", "test"))
    shared = shared_videos(train, test)
    return [
        Finding(
            True,
            "in both the training and the test list",
            tuple(video.describe() for video in shared if video.same != SAME_CLIP),
        ),
        Finding(
            True,
            "same clip in two encodings, in training and in test",
            tuple(f"{v.train} (training), {v.test} (test)" for v in shared if v.same == SAME_CLIP),
        ),
        Finding(
            True,
            "same content under two names, in training and in test",
            tuple(_copies_in_both(dataset, files)),
        ),
        Finding(
            True,
            "group of one actor, film or video in both training and test: move it to one of them",
            tuple(_leaking_groups(dataset)),
        ),
        Finding(True, "same content under two labels", tuple(_two_labels(dataset, files))),
        Finding(
            False,
            "same content more than once in one split",
            tuple(_copies_in_one(dataset, files)),
        ),
        Finding(
            False,
            "same file under several names in one split; used once per class",
            tuple(" = ".join(paths) for side in (train, test) for paths in same_names(side)),
        ),
        Finding(
            False,
            "same clip in several encodings in one split, each used as a video",
            tuple(", ".join(paths) for side in (train, test) for paths in same_clips(side)),
        ),
        Finding(False, "more than once in one list", tuple(_listed_twice(dataset))),
    ]


def group_of(name: str) -> str | None:
    """Returns the group of clips that a file belongs to, with its folder, or None.

    Names as in UCF101 (`v_Archery_g07_c01.avi`) and HMDB51 (`FILM_wave_f_nm_np1_fr_med_26.avi`)
    have one.
    """
    group = ucf_group(name) or hmdb_group(name)
    return group and f"{PurePosixPath(name).parent.as_posix()}/{group}"


def _footage(dataset: Dataset, files: Mapping[str, Inspected], split: str) -> list[Footage]:
    return [
        footage(video.name + video.part, files[video.name].file) for video in dataset.split(split)
    ]


def _sides(dataset: Dataset, key) -> dict[str, dict[str, dict[str, Listed]]]:
    """Returns {key: {split: {name: video}}} of the videos that have a key."""
    sides: dict[str, dict] = defaultdict(lambda: {"train": {}, "test": {}})
    for video in dataset.videos:
        value = key(video)
        if value:
            sides[value][video.split][video.name + video.part] = video
    return sides


def _copies(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[list[list[Listed]]]:
    """Yields the training and the test videos of each content, each file once, sorted."""
    for sides in _sides(dataset, lambda video: files[video.name].digest).values():
        copies = []
        for split in ("train", "test"):
            once = {}
            for _, video in sorted(sides[split].items()):
                once.setdefault((files[video.name].file or video.name, video.part), video)
            copies.append(list(once.values()))
        yield copies


def _copies_in_both(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    for train, test in _copies(dataset, files):
        for a in train:
            b = next((b for b in test if not _one_file(a, b, files)), None)
            if b:
                yield f"{a.name}{a.part} (training) = {b.name}{b.part} (test)"
                break


def _copies_in_one(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    for sides in _copies(dataset, files):
        for videos in sides:
            if len({video.name for video in videos}) > 1:
                yield " = ".join(video.name + video.part for video in videos)


def _one_file(a: Listed, b: Listed, files: Mapping[str, Inspected]) -> bool:
    return a.name == b.name or 0 < files[a.name].file == files[b.name].file


def _two_labels(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    by_content: dict[str, dict[int, str]] = defaultdict(dict)
    for video in dataset.videos:
        file = files[video.name]
        key = f"{file.digest or file.file or video.name}{video.part}"
        by_content[key].setdefault(video.label, video.name)
    for labels in by_content.values():
        if len(labels) > 1:
            yield ", ".join(f"{name} as {dataset.class_name(n)}" for n, name in labels.items())


def _leaking_groups(dataset: Dataset) -> Iterator[str]:
    def group(video: Listed) -> str | None:
        return group_of(video.name) or (video.name if video.part else None)

    for name, sides in _sides(dataset, group).items():
        if sides["train"] and sides["test"]:
            yield f"{name}: {len(sides['train'])} training, {len(sides['test'])} test"


def _listed_twice(dataset: Dataset) -> Iterator[str]:
    times = Counter((video.split, video.name + video.part) for video in dataset.videos)
    for (split, name), count in times.items():
        if count > 1:
            yield f"{name}: {count} times in {split}"
