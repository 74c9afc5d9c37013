"""The diagnosis of a dataset, as pure functions of its lists and the state of its files.

`listing.py` reads the lists, `inspection.py` inspects the files, `__main__.py` is the command.
`same_videos.py` has the findings about videos that occur more than once.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from afn_jax.data.check.dataset import Dataset, Finding, Inspected, Listed
from afn_jax.data.check.same_videos import find_same_videos


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
        *find_same_videos(dataset, files),
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
            "readable, but unusual",
            tuple(f"{name}: {file.oddity}" for name, file in files.items() if file.oddity),
        ),
        Finding(False, "on disk, but in no list", dataset.unlisted),
    ]
    found = [finding for finding in found if finding.items]
    return tuple(sorted(found, key=lambda finding: not finding.harmful))


def counts(
    dataset: Dataset, files: Mapping[str, Inspected], span: int
) -> list[tuple[str, int, int]]:
    """Returns the rows (what, training, test) of the table of counts."""

    def row(what: str, fits: Callable[[Listed], bool]) -> tuple[str, int, int]:
        return (what, *(sum(map(fits, dataset.split(split))) for split in ("train", "test")))

    official = dataset.official()
    return [
        *([(official[0], *official[1])] if official else []),
        row("listed", lambda video: True),
        row("on disk", lambda video: files[video.name].exists),
        row("readable", lambda video: files[video.name].readable),
        row("as long as a clip", lambda video: files[video.name].num_frames >= span),
    ]


def label_base(pairs: Iterable[tuple[int, int]]) -> int | None:
    """Returns the number of the first class, from pairs (number in the lists, 0-based label).

    None if there are no pairs or they disagree.
    """
    bases = {number - label for number, label in pairs}
    return bases.pop() if len(bases) == 1 else None


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


def _empty(dataset: Dataset, files: Mapping[str, Inspected]) -> Iterator[str]:
    there = {(video.split, video.label) for video in dataset.videos if files[video.name].readable}
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
