"""Reading of a dataset's lists for the doctor: an unreadable list is a finding, not an error."""

import os
from pathlib import Path

from afn_jax.data.check.dataset import Dataset, Finding, Listed
from afn_jax.data.check.doctor import label_base
from afn_jax.data.check.inspection import FLOW_EXTENSIONS, is_flow_file
from afn_jax.data.source import Unused
from afn_jax.data.sources import SOURCES
from afn_jax.data.sources.catalog import Catalog
from afn_jax.data.sources.identity import file_id, segment_mark
from afn_jax.data.sources.kinds import extension_of
from afn_jax.data.sources.lists.frame_kinds import choose_kind
from afn_jax.data.sources.lists.splits import SPLITS
from afn_jax.data.sources.lists.ucf101 import (
    CLASS_FILE,
    find_lists,
    list_path,
    read_class_names,
    read_list_by_folder,
)
from afn_jax.data.sources.lists.video_list import VideoList
from afn_jax.data.sources.modalities import mixed_kinds
from afn_jax.data.sources.unused import Tally
from afn_jax.near_names import unknown_name

FLOW_FILES, FLOW_KIND = "flow-files", "flow files"


def checked_sources() -> list[str]:
    """Returns the names of the datasets that can be checked, and `FLOW_FILES`."""
    return [name for name, spec in SOURCES.items() if spec.read_list] + [FLOW_FILES]


def list_dataset(
    root: str,
    source: str = "",
    annotations: str = "",
    list_number: int = 1,
    frame_names: str = "",
) -> tuple[Dataset, dict[str, str]]:
    """Reads the lists of both splits and finds the files on disk.

    Args:
        root: folder of the videos, or of flow files.
        source: one of `checked_sources()`; empty to guess it from the files.
        annotations: file or folder of the lists; empty to search in and beside `root`.
        list_number: number of the official split.
        frame_names: as `DataConfig.frame_names`.

    Returns:
        The dataset, and the paths of its files by name.

    Raises:
        ValueError: unknown folder or source; none of the listed videos exists; or there is neither
            a video nor a readable list.
    """
    catalog = Catalog(root)
    given = Path(annotations) if annotations else None
    source = source or _guess(catalog, given)
    if source == FLOW_FILES:
        return _flow_files(catalog.root)
    allowed = checked_sources()
    if source in SOURCES and source not in allowed:
        raise ValueError(
            f"source: {source} has no lists of videos to check; choose one of {', '.join(allowed)}"
        )
    if source not in allowed:
        raise ValueError(unknown_name("source", source, allowed))
    read_list = SOURCES[source].read_list
    lists, findings = {}, []
    for split in SPLITS:
        try:
            lists[split] = read_list(catalog.root, split, given, list_number)
        except ValueError as error:
            findings.append(Finding(True, f"the {split} list cannot be used", (str(error),)))
            _read_by_folder(catalog, given, split, list_number, lists, findings)
    lists = {split: choose_kind(videos, frame_names) for split, videos in lists.items()}
    if any(videos.unused is not None for videos in lists.values()):
        names = {entry.path for videos in lists.values() for entry in videos.entries}
        if mixed := mixed_kinds(names & {*catalog.frame_folders}, "--frame-names"):
            findings.append(Finding(True, "several folders of frames per clip", (mixed,)))
    everything = (*catalog.videos, *catalog.frame_folders)
    skipped = dict.fromkeys(skip for videos in lists.values() for skip in videos.skipped)
    skipped |= dict.fromkeys(catalog.unreadable)
    if skipped:
        texts = tuple(f"{skip.path}: {skip.reason}" for skip in skipped)
        findings.append(Finding(True, "left out", texts))
    if not lists and not everything:
        raise ValueError(findings[0].items[0])
    if not lists:
        paths = {name: str(catalog.root / name) for name in everything}
        dataset = Dataset(
            "lists that cannot be used",
            (),
            (),
            list_number,
            findings=tuple(findings),
            unused=catalog.rest,
            frame_folders=frozenset(catalog.frame_folders),
        )
        return dataset, paths
    class_names = next(iter(lists.values())).class_names
    if any(videos.class_names != class_names for videos in lists.values()):
        findings.append(Finding(True, "the classes of training and test differ", _differing(lists)))
    videos, paths = [], {}
    for split, video_list in lists.items():
        for entry in video_list.entries:
            name = catalog.locate(entry, video_list) or entry.path
            paths[name] = str(catalog.root / name)
            part = segment_mark(entry.start, entry.end)
            videos.append(Listed(split, name, entry.label, part))
    if videos and not any((catalog.root / name).exists() for name in paths):
        raise ValueError(
            f"root: none of the {len(paths)} listed videos is below {root!r} (the first is "
            f"{videos[0].name}); give the folder that these paths start from"
        )
    unlisted, unused = _unlisted(catalog, lists, paths)
    kind = " and ".join(video_list.origin for video_list in lists.values())
    dataset = Dataset(
        kind,
        class_names,
        tuple(videos),
        list_number,
        unlisted,
        tuple(findings),
        unused,
        frozenset(catalog.frame_folders),
    )
    return dataset, paths


def _unlisted(
    catalog: Catalog, lists: dict[str, VideoList], paths: dict[str, str]
) -> tuple[tuple[str, ...], tuple[Unused, ...]]:
    """Returns the videos on disk that are in no list, and what else is not used, by kind."""
    if any(video_list.unused is not None for video_list in lists.values()):
        unused = (item for video_list in lists.values() for item in video_list.unused or ())
        return (), tuple(dict.fromkeys(unused))
    left = [name for name in (*catalog.videos, *catalog.frame_folders) if name not in paths]
    listed = {_file_id(path) for path in paths.values()} - {0} if left else set()
    unlisted, rest = [], Tally(catalog.rest)
    for name in left:
        if _file_id(catalog.root / name) in listed:
            rest.add(extension_of(name) or "no extension", name, "another name of a listed file")
        else:
            unlisted.append(name)
    return tuple(unlisted), rest.items()


def _file_id(path: str | Path) -> int:
    try:
        return file_id(os.stat(path))
    except OSError:
        return 0


def _guess(catalog: Catalog, annotations: Path | None) -> str:
    for name, spec in SOURCES.items():
        if spec.recognize is not None and spec.recognize(catalog.root, annotations):
            return name
    if not catalog.videos and _flow_names(catalog.root):
        return FLOW_FILES
    frames = len(catalog.frame_folders) > len(catalog.videos) or not catalog.videos
    return "frame-folder" if frames else "video-folder"


def _read_by_folder(catalog, annotations, split, list_number, lists, findings) -> None:
    """Reads a list in the UCF101 format by its folders alone, where its class numbers are wrong."""
    folder = annotations or find_lists(catalog.root)
    if folder is None or not (path := list_path(folder, split, list_number)).is_file():
        return
    try:
        class_names = read_class_names(folder / CLASS_FILE)
        entries, numbers = read_list_by_folder(path, class_names)
    except (ValueError, OSError):
        return
    lists[split] = VideoList(class_names, tuple(entries), f"{split} videos of {path}")
    base = label_base(numbers)
    if base not in (None, 1):
        what = f"classes in {path} are numbered from {base}; such lists number them from 1"
        findings.append(Finding(True, what, ("add 1 to each" if base == 0 else "renumber them",)))


def _differing(lists: dict[str, VideoList]) -> tuple[str, ...]:
    train, test = (set(lists[split].class_names) for split in SPLITS)
    only = [f"{name}: only in train" for name in sorted(train - test)]
    only += [f"{name}: only in test" for name in sorted(test - train)]
    return tuple(only) or ("their order",)


def _flow_names(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and is_flow_file(path)  # in this order: a pipe is not opened
    )


def _flow_files(root: Path) -> tuple[Dataset, dict[str, str]]:
    names = _flow_names(root)
    if not names:
        raise ValueError(f"root: no {' or '.join(FLOW_EXTENSIONS)} file below {str(root)!r}")
    videos = tuple(Listed("train", name, -1) for name in names)
    rest = Tally()
    for path in root.rglob("*"):
        if path.is_file() and not is_flow_file(path):
            what = "not a file of flow that is checked"
            rest.add(path.suffix.lower() or "no extension", path.relative_to(root).as_posix(), what)
    dataset = Dataset(FLOW_KIND, (), videos, unused=rest.items())
    return dataset, {name: str(root / name) for name in names}
