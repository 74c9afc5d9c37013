"""Lists of labeled videos: the result of the parsers in this folder, and functions they share."""

import dataclasses
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from afn_jax.data.source import Skipped, Unused
from afn_jax.data.sources.lists.text import read_lines
from afn_jax.near_names import did_you_mean


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One labeled video, or one segment of a longer video.

    Attributes:
        path: relative to the folder of videos, with `/`. The file may have a different extension,
            or be a folder of frames.
        label: 0-based class.
        start: start of the segment in seconds; None: start of the video.
        end: end of the segment in seconds, exclusive; None: end of the video.
        also: other names that the file may have, without folders.
    """

    path: str
    label: int
    start: float | None = None
    end: float | None = None
    also: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class VideoList:
    """The videos of one split.

    Attributes:
        class_names: indexed by label.
        entries: the videos.
        origin: description of the list for messages, such as "train videos of FILE".
        anywhere: whether file names identify videos, so that they may be in any folder.
        skipped: files and folders that were left out.
        unused: what else lies in the folder of a dataset that is split by name; None if lists
            decide what is used.
    """

    class_names: tuple[str, ...]
    entries: tuple[Entry, ...]
    origin: str
    anywhere: bool = False
    skipped: tuple[Skipped, ...] = ()
    unused: tuple[Unused, ...] | None = None


def spelled(name: str) -> str:
    """Returns a normalized class name: "Riding_a bike " and "riding a bike" are the same class.

    Accents count as the same whether they are composed, as on Linux, or not, as on a Mac.
    """
    name = unicodedata.normalize("NFC", name)
    # Once more, because folding the case decomposes some letters.
    return unicodedata.normalize("NFC", " ".join(name.replace("_", " ").split()).casefold())


def alike_line(class_names: Sequence[str]) -> str:
    """Returns a line about classes that are `spelled` alike; empty if there are none."""
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault(spelled(name), []).append(repr(name))
    doubtful = [" and ".join(names) for names in alike.values() if len(names) > 1]
    if not doubtful:
        return ""
    return (
        f"classes whose names differ only in case, blanks or underscores: {', '.join(doubtful)}; "
        "merge or rename their folders if they are one class"
    )


def choose_classes(videos: VideoList, classes: Sequence[str]) -> VideoList:
    """Selects the videos of some classes, renumbered 0, 1, ... in the order of `classes`.

    Mini-Kinetics, for example, has 200 (Xie et al.) or 150 (Piergiovanni) classes of Kinetics.

    Args:
        videos: the videos of all classes.
        classes: class names, or one text file with a name per line.

    Raises:
        ValueError: a class is unknown or listed twice, or there are fewer than two, or no videos
            of them.
    """
    origin = "data.classes"
    if len(classes) == 1 and Path(classes[0]).is_file():
        origin = f"data.classes: {classes[0]}"
        classes = [line for _, line in read_lines(classes[0])]
    label_of = {spelled(name): label for label, name in enumerate(videos.class_names)}
    chosen: dict[int, int] = {}
    for name in classes:
        label = label_of.get(spelled(name))
        if label is None:
            raise ValueError(
                f"{origin}: {name!r} is not one of the {len(videos.class_names)} classes; give "
                "class names of this dataset, or a file with one name per line. "
                + did_you_mean(name, videos.class_names, key=spelled)
            )
        if label in chosen:
            raise ValueError(f"{origin}: {name!r} is listed twice; name each class once")
        chosen[label] = len(chosen)
    if len(chosen) < 2 <= len(videos.class_names):
        raise ValueError(
            f"{origin}: {', '.join(map(repr, classes)) or 'no class'} is chosen; name two or more "
            f"of the {len(videos.class_names)} classes"
        )
    entries = tuple(
        dataclasses.replace(entry, label=chosen[entry.label])
        for entry in videos.entries
        if entry.label in chosen
    )
    if videos.entries and not entries:
        raise ValueError(
            f"{origin}: none of the {len(videos.entries)} {videos.origin} is of the chosen "
            f"classes; choose others, or a split that has videos of them"
        )
    names = tuple(videos.class_names[label] for label in chosen)
    return dataclasses.replace(videos, class_names=names, entries=entries)


def find_annotations(
    root: Path,
    annotations: Path | None,
    *,
    folders: Sequence[str],
    patterns: Sequence[str],
    what: str,
) -> list[Path]:
    """Finds the annotation files of a dataset.

    Args:
        root: the folder of videos.
        annotations: the file itself, or the folder to search; None: search `root` and the folder
            above it.
        folders: names of subfolders to search too.
        patterns: patterns of the file names.
        what: description of the files for the error message.

    Returns:
        The files of the first folder that has any, sorted by path.

    Raises:
        ValueError: no file was found.
    """
    if annotations is not None and annotations.is_file():
        return [annotations]
    if annotations is not None and not annotations.is_dir():
        raise ValueError(f"data.annotations: there is no {str(annotations)!r}; give {what}")
    bases = [annotations] if annotations is not None else [root, root.resolve().parent]
    for base in bases:
        for folder in (base, *(base / name for name in folders)):
            found = {path for pattern in patterns for path in folder.glob(pattern)}
            if found:
                return sorted(found)
    places = ", ".join(repr(str(base)) for base in bases)
    raise ValueError(
        f"data.annotations: no {' or '.join(patterns)} in {places} or a subfolder called "
        f"{', '.join(folders)}; give {what} with --data.annotations"
    )


def check_seconds(start: float, end: float, where: str) -> None:
    """Raises ValueError, with a message that starts with `where`, unless this is a segment."""
    if not 0 <= start < end < float("inf"):  # False for NaN too
        raise ValueError(
            f"{where}: the segment from {start:g} to {end:g}; give its start and its end in "
            "seconds, the start before the end and not below 0"
        )
