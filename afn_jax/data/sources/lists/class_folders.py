"""The classes of a folder without lists: its subfolders, and which of their contents are used."""

from collections.abc import Sequence
from typing import NamedTuple

from afn_jax.data.source import Unused
from afn_jax.data.sources.catalog import Catalog, by_class
from afn_jax.data.sources.kinds import USUAL, extension_of, stem_of
from afn_jax.data.sources.unused import Tally


class ClassFolders(NamedTuple):
    """The content of a folder of classes.

    Attributes:
        videos: the paths of the videos of each class, both sorted.
        unused: what is not used, by kind.
        doubts: a file of each subfolder that may have been meant as a class.
    """

    videos: dict[str, list[str]]
    unused: tuple[Unused, ...]
    doubts: dict[str, str]


def find_classes(catalog: Catalog, frames: bool) -> ClassFolders:
    """Finds the classes, and what is in doubt and therefore not used.

    - Where the classes are of video files, one that holds nothing but folders of frames is used
      too, and the reverse, unless these may be frames, previews or originals of the other videos.
    - A video file of an unusual kind is not used beside a usual one of the same name, which it may
      be a preview of, nor are GIFs in a subfolder of their own, which may be no class.

    Args:
        catalog: the folder.
        frames: whether the classes are of folders of frames.
    """
    wanted, others = catalog.videos, catalog.frame_folders
    if frames:
        wanted, others = others, wanted
    unused, doubts = Tally(catalog.rest), dict(catalog.doubts)
    folders = {*catalog.frame_folders}

    def leave(path: str, reason: str) -> None:
        kind = "folder of frames" if path in folders else extension_of(path) or "no extension"
        unused.add(kind, path, reason)

    for path in (*wanted, *others):
        if "/" not in path:
            leave(path, "in the folder itself, not in the folder of a class")
    previews = () if frames else _previews(wanted)
    for path in previews:
        leave(path, "the same clip is there as a more usual file")
    classes = by_class([path for path in wanted if path not in previews] if previews else wanted)
    gifs = [name for name, paths in classes.items() if all(map(_is_gif, paths))]
    if len(gifs) < len(classes):
        for name in gifs:
            doubts.setdefault(name, classes[name][0])
            for path in classes.pop(name):
                leave(path, "pictures in a folder without other videos")

    names = {*classes, *(_last_stem(path) for path in wanted)} if others else set()
    there, use = ("folders of frames", "video") if frames else ("video files", "frame")
    more = {}
    for name, paths in by_class(others).items():
        deep = any(path.count("/") > 1 for path in paths)
        taken = [path for path in paths if _last_stem(path) in names]
        if classes and name not in classes and len(paths) > 1 and not deep and not taken:
            more[name] = paths
            continue
        for path in paths:
            what = f"among {there}; --data {use}-folder or a list uses it"
            leave(path, f"its name is among {there}" if path in taken else what)
    videos = dict(sorted((classes | more).items()))
    doubts = {name: path for name, path in doubts.items() if name and name not in videos}
    return ClassFolders(videos, unused.items(), doubts)


def _previews(paths: Sequence[str]) -> set[str]:
    """Returns the files of unusual kinds that have the name of a usual one in their folder."""
    unusual = [path for path in paths if extension_of(path) not in USUAL]
    if not unusual:
        return set()
    usual = {stem_of(path) for path in paths if extension_of(path) in USUAL}
    return {path for path in unusual if stem_of(path) in usual}


def _is_gif(path: str) -> bool:
    return path.lower().endswith(".gif")


def _last_stem(path: str) -> str:
    return stem_of(path.rpartition("/")[2])
