"""The files below a folder of videos, and the search for the videos of a list among them.

Copies of a dataset differ in their extensions (re-encoded as MP4, or extracted frames), in their
folders (one per class, one per split, none) and in how archives encoded special characters.
"""

import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from afn_jax.data.source import Skipped
from afn_jax.data.sources.lists.video_list import Entry, VideoList, spelled

EXTENSIONS = (
    *(".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv"),
    *(".flv", ".3gp", ".mts", ".m2ts", ".ogv"),
)
NO_VIDEOS = (".txt", ".csv", ".json", ".xml", ".md", ".mat", ".jpg", ".jpeg", ".png", ".zip")
NUMBERED_PICTURE = re.compile(r"(.*?)(\d+)(\.jpe?g|\.png)", re.IGNORECASE)


class Catalog:
    """The video files and folders of frames below `root`, which is searched when first needed.

    Files and folders whose names start with a dot are left out.

    Attributes:
        root: the folder.
        unreadable: folders that could not be read.
        others: files that are not videos, lists or pictures by their extension; filled by `videos`.
    """

    def __init__(self, root: str | Path):
        """Raises ValueError if `root` is not a folder."""
        self.root = Path(root)
        self.unreadable: list[Skipped] = []
        self.others: list[str] = []
        if not self.root.is_dir():
            raise ValueError(
                f"root: {str(root)!r} is not a folder; give the folder that holds one "
                "subfolder of videos per class"
            )

    @functools.cached_property
    def videos(self) -> tuple[str, ...]:
        """Video files, relative to the root with `/`, sorted."""
        return tuple(sorted(path for path, is_file in self._found if is_file))

    @functools.cached_property
    def frame_folders(self) -> tuple[str, ...]:
        """Folders of two or more numbered pictures and no video, relative to the root, sorted."""
        return tuple(sorted(path for path, is_file in self._found if not is_file))

    def locate(self, entry: Entry, videos: VideoList) -> str | None:
        """Finds the video of an entry; returns its path relative to the root, or None."""
        # Ask the disk first: if lists and names agree, the folders need not be searched.
        # Plain strings, because path objects would take most of the time for 240,000 entries.
        if os.path.exists(os.path.join(self.root, entry.path)):
            return entry.path
        if _has_pictures(os.path.join(self.root, _stem(entry.path))):
            return _stem(entry.path)
        names = (_name(entry.path), *entry.also)
        for candidates in (self._by_stem.get(_key(_stem(name)), ()) for name in names):
            folder = _key(_folder(entry.path))
            for path in candidates:
                if _key(_folder(path)) == folder:
                    return path
            # A file in the folder of a different class is a different video of the same name.
            own, classes = videos.class_names[entry.label], _class_keys(videos.class_names)
            for path in candidates if videos.anywhere else ():
                parent = spelled(_key(_name(_folder(path))))
                if parent == spelled(own) or parent not in classes:
                    return path
        return None

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        for path in self.videos:
            by_stem.setdefault(_key(_stem(_name(path))), []).append(path)
        for path in self.frame_folders:
            by_stem.setdefault(_key(_name(path)), []).append(path)
        return by_stem

    @functools.cached_property
    def _found(self) -> list[tuple[str, bool]]:
        return list(self._look_through())

    def _look_through(self) -> Iterator[tuple[str, bool]]:
        """Yields (relative path, is a file) of videos and folders of frames, unsorted."""
        folders = [""]
        linked = {os.path.realpath(self.root)}
        while folders:
            folder = folders.pop()
            prefix = f"{folder}/" if folder else ""
            below, videos, pictures = [], [], 0
            try:
                with os.scandir(self.root / folder) as items:
                    for item in items:
                        if item.name.startswith("."):
                            continue
                        if item.is_dir():
                            if item.is_symlink():  # links may form a cycle
                                target = os.path.realpath(item.path)
                                if target in linked:
                                    continue
                                linked.add(target)
                            below.append(item.name)
                        elif item.name.lower().endswith(EXTENSIONS):
                            videos.append(item.name)
                        elif NUMBERED_PICTURE.fullmatch(item.name):
                            pictures += 1
                        elif not item.name.lower().endswith(NO_VIDEOS):
                            self.others.append(prefix + item.name)
            except OSError as error:
                path = str(self.root / folder)
                self.unreadable.append(Skipped(path, error.strerror or str(error)))
                continue
            yield from ((prefix + name, True) for name in videos)
            if pictures > 1 and folder and not videos and not below:
                yield folder, False
            if set(below) != {"u", "v"}:  # these hold the components of flow
                folders += (prefix + name for name in below)


def by_class(paths: Sequence[str]) -> dict[str, list[str]]:
    """Groups paths by their first folder, both sorted; paths without a folder are left out."""
    classes: dict[str, list[str]] = {}
    for path in sorted(paths):
        name, _, below = path.partition("/")
        if below:
            classes.setdefault(name, []).append(path)
    return dict(sorted(classes.items()))


@functools.lru_cache(maxsize=8)
def _class_keys(class_names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(spelled(name) for name in class_names)


def _stem(name: str) -> str:
    """The name less the extension of a video; other dots are part of a name."""
    for extension in EXTENSIONS:
        if name.lower().endswith(extension):
            return name[: -len(extension)]
    return name


def _has_pictures(folder: str) -> bool:
    try:
        with os.scandir(folder) as items:
            return any(NUMBERED_PICTURE.fullmatch(item.name) for item in items)
    except OSError:
        return False


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _key(name: str) -> str:
    """Returns a name with composed accents and without percent codes, for comparisons."""
    return unicodedata.normalize("NFC", unquote(name))
