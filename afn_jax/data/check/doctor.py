"""The diagnosis of a dataset, as pure functions of its lists and the state of its files.

`listing.py` reads the lists, `inspection.py` inspects the files, `__main__.py` is the command.
"""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from afn_jax.data.sources.lists.groups import hmdb_group, ucf_group

# Numbers of training and test videos in the official splits 1, 2 and 3. The key: name, number of
# classes and a class that identifies the dataset.
OFFICIAL = {
    ("UCF101", 101, "ApplyEyeMakeup"): ((9537, 3783), (9586, 3734), (9624, 3696)),
    ("HMDB51", 51, "brush_hair"): ((3570, 1530), (3570, 1530), (3570, 1530)),
}


@dataclasses.dataclass(frozen=True)
class Listed:
    """One video in the lists.

    Attributes:
        split: "train" or "test".
        name: path relative to the root, with `/`.
        label: 0-based class; -1 if the lists do not give one.
        part: the segment of a longer video; empty for the whole video.
    """

    split: str
    name: str
    label: int
    part: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of problem and where it occurs.

    Attributes:
        harmful: whether it would stop training or make numbers measured on the dataset wrong.
        what: the problem and how to fix it.
        items: the places where it occurs.
    """

    harmful: bool
    what: str
    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The content of the lists.

    Attributes:
        kind: description of the lists.
        class_names: indexed by label.
        videos: of both splits, in the order of the lists.
        list_number: number of the split.
        unlisted: videos on disk that are in no list.
        findings: problems of the lists themselves.
    """

    kind: str
    class_names: tuple[str, ...]
    videos: tuple[Listed, ...]
    list_number: int = 1
    unlisted: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def split(self, split: str) -> tuple[Listed, ...]:
        """Returns the videos of "train" or "test"."""
        return tuple(video for video in self.videos if video.split == split)

    def official(self) -> tuple[str, tuple[int, int]] | None:
        """Returns the name and the official (train, test) counts of a known public dataset."""
        for (name, num_classes, example), counts in OFFICIAL.items():
            if len(self.class_names) == num_classes and example in self.class_names:
                if self.list_number <= len(counts):
                    return f"official {name}", counts[self.list_number - 1]
        return None


@dataclasses.dataclass(frozen=True)
class Inspected:
    """The state of one file.

    Attributes:
        exists: whether it exists.
        num_frames: number of readable frames.
        problem: why it cannot be read to its end; empty if it can.
        oddity: what is unusual about a readable file.
        digest: hash of the content if another file has the same size; else empty.
    """

    exists: bool = True
    num_frames: int = 0
    problem: str = ""
    oddity: str = ""
    digest: str = ""


def diagnose(dataset: Dataset, files: Mapping[str, Inspected], span: int) -> tuple[Finding, ...]:
    """Returns all findings, harmful ones first.

    Args:
        dataset: the lists.
        files: the state of each video file, by name.
        span: length of a clip in frames of the video.
    """
    found = [
        *dataset.findings,
        Finding(
            True, "number of videos differs from the official split", tuple(_wrong_counts(dataset))
        ),
        Finding(True, "listed but missing on disk", tuple(_missing(dataset, files))),
        Finding(
            True,
            "cannot be read to the end; training skips what cannot be decoded",
            tuple(
                f"{name}: {file.problem}"
                for name, file in files.items()
                if file.exists and file.problem
            ),
        ),
        Finding(True, "in both the training and the test list", tuple(_in_both(dataset))),
        Finding(
            True,
            "same content under two names, in training and in test",
            tuple(_duplicates(dataset, files, across=True)),
        ),
        Finding(
            True,
            "group of one actor, film or video in both training and test: move it to one of them",
            tuple(_leaking_groups(dataset)),
        ),
        Finding(
            True,
            "same content under two labels",
            tuple(_two_labels(dataset, files)),
        ),
        Finding(True, "class without a readable video", tuple(_empty(dataset, files))),
        Finding(
            True,
            "class names that differ only in case, spaces, - or _",
            tuple(_near_names(dataset)),
        ),
        Finding(
            False,
            f"shorter than a clip of {span} frames; repeated to fill it",
            tuple(
                f"{name}: {file.num_frames}"
                for name, file in files.items()
                if file.num_frames and file.num_frames < span
            ),
        ),
        Finding(
            False,
            "same content more than once in one split",
            tuple(_duplicates(dataset, files, across=False)),
        ),
        Finding(False, "more than once in one list", tuple(_listed_twice(dataset))),
        Finding(
            False,
            "readable, but unusual",
            tuple(f"{name}: {file.oddity}" for name, file in files.items() if file.oddity),
        ),
        Finding(False, "on disk, but in no list", dataset.unlisted),
    ]
    found = [finding for finding in found if finding.items]
    return tuple(sorted(found, key=lambda finding: not finding.harmful))


def counts(dataset: Dataset, files: Mapping[str, Inspected], span: int) -> list[tuple]:
    """Returns the rows (what, training, test) of the table of counts."""

    def row(what, fits):
        return (what, *(sum(map(fits, dataset.split(split))) for split in ("train", "test")))

    official = dataset.official()
    return [
        *([(official[0], *official[1])] if official else []),
        row("listed", lambda video: True),
        row("on disk", lambda video: files[video.name].exists),
        row("readable", lambda video: _readable(files[video.name])),
        row("as long as a clip", lambda video: files[video.name].num_frames >= span),
    ]


def label_base(pairs: Iterable[tuple[int, int]]) -> int | None:
    """Returns the number of the first class, from pairs (number in the lists, 0-based label).

    None if there are no pairs or they disagree.
    """
    bases = {number - label for number, label in pairs}
    return bases.pop() if len(bases) == 1 else None


def group_of(name: str) -> str | None:
    """Returns the group of clips that a file belongs to, with its folder, or None.

    Names as in UCF101 (`v_Archery_g07_c01.avi`) and HMDB51 (`FILM_wave_f_nm_np1_fr_med_26.avi`)
    have one.
    """
    group = ucf_group(name) or hmdb_group(name)
    return group and f"{PurePosixPath(name).parent.as_posix()}/{group}"


def _readable(file: Inspected) -> bool:
    return file.exists and not file.problem


def _wrong_counts(dataset: Dataset) -> Iterator[str]:
    official = dataset.official()
    if official is None:
        return
    for split, right in zip(("train", "test"), official[1], strict=True):
        found = len(dataset.split(split))
        if found != right:
            yield f"{split}: {found} listed, {official[0]} split {dataset.list_number} has {right}"


def _missing(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    """Yields single files, and one line for a class whose files are all missing."""
    by_class = defaultdict(list)
    for video in dict.fromkeys((video.name, video.label) for video in dataset.videos):
        by_class[video[1]].append(video[0])
    for label, names in by_class.items():
        gone = [name for name in names if not files[name].exists]
        if len(gone) == len(names) > 1 and 0 <= label < len(dataset.class_names):
            yield f"all {len(gone)} videos of {dataset.class_names[label]}"
        else:
            yield from gone


def _sides(dataset: Dataset, key) -> dict[str, dict[str, set[str]]]:
    """Returns {key: {split: names}} of the videos that have a key."""
    sides: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"train": set(), "test": set()})
    for video in dataset.videos:
        value = key(video)
        if value:
            sides[value][video.split].add(video.name + video.part)
    return sides


def _in_both(dataset: Dataset) -> Iterator[str]:
    for name, sides in _sides(dataset, lambda video: video.name + video.part).items():
        if sides["train"] and sides["test"]:
            yield name


def _duplicates(dataset: Dataset, files: Mapping[str, Inspected], *, across: bool) -> Iterator[str]:
    for sides in _sides(dataset, lambda video: files[video.name].digest).values():
        train, test = sorted(sides["train"]), sorted(sides["test"])
        if across:
            copies = [(a, b) for a in train for b in test if a != b]
            if copies:
                yield f"{copies[0][0]} (training) = {copies[0][1]} (test)"
        else:
            for names in (train, test):
                if len(names) > 1:
                    yield " = ".join(names)


def _two_labels(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    by_content = defaultdict(dict)
    for video in dataset.videos:
        key = (files[video.name].digest or video.name) + video.part
        by_content[key].setdefault(video.label, video.name)
    for labels in by_content.values():
        if len(labels) > 1:
            yield ", ".join(
                f"{name} as {_class_name(dataset, label)}" for label, name in labels.items()
            )


def _leaking_groups(dataset: Dataset) -> Iterator[str]:
    def group(video: Listed) -> str | None:
        return group_of(video.name) or (video.name if video.part else None)

    for name, sides in _sides(dataset, group).items():
        if sides["train"] and sides["test"]:
            yield f"{name}: {len(sides['train'])} training, {len(sides['test'])} test"


def _empty(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    there = {(video.split, video.label) for video in dataset.videos if _readable(files[video.name])}
    for label, name in enumerate(dataset.class_names):
        missing = [split for split in ("train", "test") if (split, label) not in there]
        if missing:
            yield f"{name}: none in {' or '.join(missing)}"


def _near_names(dataset: Dataset) -> Iterator[str]:
    alike = defaultdict(list)
    for name in dataset.class_names:
        alike[re.sub(r"[\s_-]", "", name).casefold()].append(name)
    for names in alike.values():
        if len(names) > 1:
            yield " and ".join(map(repr, names))


def _listed_twice(dataset: Dataset) -> Iterator[str]:
    times = Counter((video.split, video.name + video.part) for video in dataset.videos)
    for (split, name), count in times.items():
        if count > 1:
            yield f"{name}: {count} times in {split}"


def _class_name(dataset: Dataset, label: int) -> str:
    return (
        dataset.class_names[label] if 0 <= label < len(dataset.class_names) else "an unknown class"
    )
