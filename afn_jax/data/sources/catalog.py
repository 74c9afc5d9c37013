"""The files below a folder of videos, and the search for the videos of a list among them.

Copies of a dataset differ in their extensions (re-encoded as MP4, or extracted frames), in their
folders (one per class, one per split, none) and in how archives encoded special characters.
"""

import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from afn_jax.data.source import Skipped, Unused
from afn_jax.data.sources.frame_names import EXTENSIONS as READ_PICTURES
from afn_jax.data.sources.frame_names import NUMBERED_PICTURE
from afn_jax.data.sources.identity import file_id
from afn_jax.data.sources.kinds import (
    NO_DATA,
    PICTURE,
    USUAL,
    VIDEO,
    extension_of,
    kind_of,
    look_into,
    stem_of,
)
from afn_jax.data.sources.lists.video_list import Entry, VideoList, spelled
from afn_jax.data.sources.mark import MARK_FILE, WRITTEN, is_marked_folder, without_marked
from afn_jax.data.sources.modalities import flow_pair
from afn_jax.data.sources.unused import HIDDEN, Tally

# Folders that a system, a NAS or an archive program makes, in lower case. They hold previews,
# deleted files and notes.
SYSTEM_FOLDERS = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),
    *("$recycle.bin", "recycler", "system volume information", "found.000"),
    *("__macosx", "lost+found", "network trash folder", "temporary items"),
}


class Catalog:
    """The video files and folders of frames below `root`, which is searched when first needed.

    Files and folders whose names start with a dot are left out, and so are `SYSTEM_FOLDERS` and
    folders of flow that this package wrote.

    Attributes:
        root: the folder.
        unreadable: folders that could not be read.
        doubts: a file that may have been meant as data, by the folder of `root` that it lies below;
            filled by the search.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        rest: Tally | None = None,
        left_out: Callable[[str], str] = lambda path: "",
    ):
        """Takes the folder.

        Args:
            root: the folder.
            rest: counts what is not used; None: a new one.
            left_out: returns why a video file or picture is not used, or "".

        Raises:
            ValueError: `root` is not a folder.
        """
        self.root: Path = Path(root)
        self.unreadable: list[Skipped] = []
        self.doubts: dict[str, str] = {}
        self._rest = Tally() if rest is None else rest
        self._left_out = left_out
        self._inodes: dict[str, int] = {}
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

    @property
    def rest(self) -> tuple[Unused, ...]:
        """What is neither a video file nor a folder of frames, by kind."""
        _ = self._found
        return self._rest.items()

    @functools.cached_property
    def files(self) -> dict[str, int]:
        """`file_id` of the video files that may have several names, by path."""
        ids: dict[str, int] = {}
        _, times = self._found, Counter(self._inodes.values())
        if len(times) == len(self._inodes):
            return ids
        for path in self.videos:
            # Some file systems list the same inode for all files, so the file itself is asked.
            if times[self._inodes[path]] > 1:
                try:
                    ids[path] = file_id(os.stat(self.root / path))
                except OSError:  # a broken link
                    continue
        return ids

    def locate(self, entry: Entry, videos: VideoList) -> str | None:
        """Finds the video of an entry; returns its path relative to the root, or None."""
        # Ask the disk first: if lists and names agree, the folders need not be searched.
        # Plain strings, because path objects would take most of the time for 240,000 entries.
        if os.path.exists(os.path.join(self.root, entry.path)):
            return entry.path
        if _has_pictures(os.path.join(self.root, stem_of(entry.path))):
            return stem_of(entry.path)
        names = (_name(entry.path), *entry.also)
        for candidates in (self._by_stem.get(_key(stem_of(name)), ()) for name in names):
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
        # Of files with one stem, a list means the usual kind, not a GIF as preview.
        for path in sorted(self.videos, key=lambda path: extension_of(path) not in USUAL):
            by_stem.setdefault(_key(stem_of(_name(path))), []).append(path)
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
            below: list[str] = []
            names: dict[str, list[str]] = {}  # of the files, by kind
            marked = False
            try:
                with os.scandir(self.root / folder) as items:
                    for item in items:
                        if item.name == MARK_FILE:
                            marked = is_marked_folder(self.root / folder)
                        elif item.name.startswith("."):
                            self._rest.add("hidden", prefix + item.name, HIDDEN)
                        elif not item.is_dir():
                            kind = kind_of(item.name) or _unnamed(item)
                            if kind in (VIDEO, PICTURE):
                                kind = self._left_out(item.path) or kind
                            names.setdefault(kind, []).append(item.name)
                            if kind == VIDEO:
                                self._inodes[prefix + item.name] = _inode(item)
                        elif item.name.casefold() in SYSTEM_FOLDERS:
                            what = "folder of a system or NAS, such as previews and deleted files"
                            self._rest.add("folder", prefix + item.name, what)
                        elif item.is_symlink() and os.path.realpath(item.path) in linked:
                            what = "link to a folder that is searched anyway"
                            self._rest.add("link", prefix + item.name, what)
                        else:
                            if item.is_symlink():  # links may form a cycle
                                linked.add(os.path.realpath(item.path))
                            below.append(item.name)
            except OSError as error:
                path = str(self.root / folder)
                self.unreadable.append(Skipped(path, error.strerror or str(error)))
                continue
            if folder and marked:
                self._rest.add("folder", folder, WRITTEN)
                continue
            yield from self._of_one_folder(folder, names, below)
            if folder and (pair := flow_pair(below)):
                what = f"{pair[0]} and {pair[1]}: components of flow"
                self._rest.add("folder", prefix + pair[0], what)
                folders += (prefix + name for name in below if name not in pair)
            elif set(below) == {"u", "v"}:  # these hold the components of flow
                self._rest.add("folder", prefix + "u", "u and v: components of flow")
            else:
                folders += (prefix + name for name in below)

    def _of_one_folder(
        self, folder: str, names: dict[str, list[str]], below: list[str]
    ) -> Iterator[tuple[str, bool]]:
        """Yields the videos and the folder itself if it is one of frames; counts the rest."""
        prefix = f"{folder}/" if folder else ""
        videos, pictures = names.pop(VIDEO, []), names.pop(PICTURE, [])
        numbered = [name for name in pictures if NUMBERED_PICTURE.fullmatch(name)]
        moving = [name for name in videos if extension_of(name) != ".gif"]
        if len(numbered) > 1 and folder and not moving:
            numbered = without_marked(self.root / folder, numbered)
            below = [name for name in below if not is_marked_folder(self.root / folder / name)]
        if len(numbered) > 1 and folder and not moving and not below:
            for name in videos:
                self._rest.add(".gif", prefix + name, "picture in a folder of frames")
            for name in set(pictures) - set(numbered):
                what = _why_no_frame(name, "picture without a number in a folder of frames")
                self._rest.add(extension_of(name), prefix + name, what)
            yield folder, False
        else:
            yield from ((prefix + name, True) for name in videos)
            if pictures:
                self.doubts.setdefault(prefix.partition("/")[0], prefix + min(pictures))
            for name in pictures:
                what = _why_no_frame(name, "picture outside a folder of frames")
                self._rest.add(extension_of(name), prefix + name, what)
        for kind, others in names.items():
            for name in others:
                self._rest.add(extension_of(name) or "no extension", prefix + name, kind)
            if kind not in NO_DATA:
                self.doubts.setdefault(prefix.partition("/")[0], prefix + min(others))
        if folder and not (videos or pictures or names or below):
            self._rest.add("folder", folder, "empty folder")


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


def _has_pictures(folder: str) -> bool:
    try:
        with os.scandir(folder) as items:
            return any(NUMBERED_PICTURE.fullmatch(item.name) for item in items)
    except OSError:
        return False


def _why_no_frame(name: str, reason: str) -> str:
    """Returns why a picture is not a frame: its format, otherwise `reason`."""
    return reason if extension_of(name) in READ_PICTURES else "picture in a format that is not read"


def _unnamed(item: os.DirEntry) -> str:
    """Returns the kind of a file whose name does not tell it."""
    return look_into(item.path) if item.is_file() else "a broken link, or no regular file"


def _inode(item: os.DirEntry) -> int:
    try:
        return item.stat().st_ino if item.is_symlink() else item.inode()
    except OSError:  # a broken link
        return 0


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _key(name: str) -> str:
    """Returns a name with composed accents and without percent codes, for comparisons."""
    return unicodedata.normalize("NFC", unquote(name))
