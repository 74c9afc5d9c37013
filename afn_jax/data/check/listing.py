"""Reading of a dataset's lists for the doctor: an unreadable list is a finding, not an error."""

from pathlib import Path

from afn_jax.data.check.doctor import Dataset, Finding, Listed, label_base
from afn_jax.data.check.inspection import FLOW_EXTENSIONS
from afn_jax.data.sources import SOURCES
from afn_jax.data.sources.catalog import Catalog
from afn_jax.data.sources.lists.splits import SPLITS
from afn_jax.data.sources.lists.ucf101 import (
    CLASS_FILE,
    find_lists,
    list_path,
    read_class_names,
    read_list_by_folder,
)
from afn_jax.data.sources.lists.video_list import VideoList
from afn_jax.near_names import unknown_name

FLOW_FILES = "flow-files"


def checked_sources() -> list[str]:
    """Returns the names of the datasets that can be checked, and `FLOW_FILES`."""
    return [name for name, spec in SOURCES.items() if spec.read_list] + [FLOW_FILES]


def list_dataset(
    root: str, source: str = "", annotations: str = "", list_number: int = 1
) -> tuple[Dataset, dict[str, str]]:
    """Reads the lists of both splits and finds the files on disk.

    Args:
        root: folder of the videos, or of flow files.
        source: one of `checked_sources()`; empty to guess it from the files.
        annotations: file or folder of the lists; empty to search in and beside `root`.
        list_number: number of the official split.

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
    skipped = dict.fromkeys(skip for videos in lists.values() for skip in videos.skipped)
    if skipped:
        texts = tuple(f"{skip.path}: {skip.reason}" for skip in skipped)
        findings.append(Finding(True, "left out", texts))
    everything = catalog.videos or catalog.frame_folders
    if not lists and not everything:
        raise ValueError(findings[0].items[0])
    if not lists:
        paths = {name: str(catalog.root / name) for name in everything}
        return Dataset("lists that cannot be used", (), (), list_number, (), tuple(findings)), paths
    class_names = next(iter(lists.values())).class_names
    if any(videos.class_names != class_names for videos in lists.values()):
        findings.append(Finding(True, "the classes of training and test differ", _differing(lists)))
    videos, paths = [], {}
    for split, video_list in lists.items():
        for entry in video_list.entries:
            name = catalog.locate(entry, video_list) or entry.path
            paths[name] = str(catalog.root / name)
            part = "" if entry.start is None else f"#t={entry.start:g},{entry.end:g}"
            videos.append(Listed(split, name, entry.label, part))
    if videos and not any((catalog.root / name).exists() for name in paths):
        raise ValueError(
            f"root: none of the {len(paths)} listed videos is below {root!r} (the first is "
            f"{videos[0].name}); give the folder that these paths start from"
        )
    unlisted = tuple(name for name in everything if name not in paths)
    kind = " and ".join(video_list.origin for video_list in lists.values())
    return Dataset(kind, class_names, tuple(videos), list_number, unlisted, tuple(findings)), paths


def _guess(catalog: Catalog, annotations: Path | None) -> str:
    for name, spec in SOURCES.items():
        if spec.recognize is not None and spec.recognize(catalog.root, annotations):
            return name
    if not catalog.videos and _flow_names(catalog.root):
        return FLOW_FILES
    return "video-folder" if catalog.videos else "frame-folder"


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
        if path.suffix.lower() in FLOW_EXTENSIONS and path.is_file()
    )


def _flow_files(root: Path) -> tuple[Dataset, dict[str, str]]:
    names = _flow_names(root)
    if not names:
        raise ValueError(f"root: no {' or '.join(FLOW_EXTENSIONS)} file below {str(root)!r}")
    videos = tuple(Listed("train", name, -1) for name in names)
    return Dataset("flow files", (), videos), {name: str(root / name) for name in names}
