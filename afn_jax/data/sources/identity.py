"""What is the same video: the rule that listing, training and the doctor share.

- The same file: equal device and inode, however it is spelled or linked. Size and time of change
  must be equal too, because some file systems make inodes up.
- The same clip in two encodings: equal folder and equal name but for the extension of a video, such
  as `clip7.avi`, `clip7.mp4` and a folder of frames `clip7`. Accents may be composed or not.

Splits by name also keep together the folders of the kinds of pictures of a clip (`modalities.py`).
Lists may name these in two splits, for example to train on one kind and test on another.

Segments of one video are different examples within a split. Two splits share a video if segments of
it overlap in time.
"""

import math
import os
import posixpath
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from afn_jax.data.source import Source
from afn_jax.data.sources.kinds import stem_of
from afn_jax.data.sources.modalities import mixed_clips

CLASS_MARK = "#class="  # precedes the class in the name of a video with several classes
SAME_NAME, SAME_FILE = "the same name", "the same file"
SAME_CLIP = "the same clip in two encodings"

_SEGMENT = re.compile(r"#t=([-+.e\d]+)(?:,([-+.e\d]+|inf))?")


class Footage(NamedTuple):
    """A video or a segment of one, as far as its identity matters.

    Attributes:
        name: its name in its source.
        path: the name less segment and class.
        start: start of the segment in seconds.
        end: its end, exclusive; infinity for the end of the video.
        file: `file_id` of the file; 0 if unknown.
    """

    name: str
    path: str
    start: float = 0.0
    end: float = math.inf
    file: int = 0


class Shared(NamedTuple):
    """A video that two splits share: its name in each, and what is the same."""

    train: str
    test: str
    same: str

    def describe(self) -> str:
        """Returns both names and what is the same, or the name if there is only one."""
        if self.train == self.test:
            return self.train
        return f"{self.train} (training) and {self.test} (test), {self.same}"


def file_id(file: os.stat_result) -> int:
    """Returns a number that is equal for all names of a file; 0 if the system has no inodes."""
    return hash((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)) if file.st_ino else 0


def segment_mark(start: float | None, end: float | None) -> str:
    """Returns what the name of a segment adds to that of its video; "" for the whole video."""
    if start is None and end is None:
        return ""
    return f"#t={start or 0.0:g}" + ("" if end is None else f",{end:g}")


def footage(name: str, file: int = 0) -> Footage:
    """Reads path and segment from the name of a video, `PATH[#t=START,END][#class=NAME]`."""
    name = name.partition(CLASS_MARK)[0]
    path, mark, times = name.rpartition("#t=")
    match = _SEGMENT.fullmatch(mark + times)
    if not match:
        return Footage(name, name, file=file)
    return Footage(name, path, float(match[1]), float(match[2] or math.inf), file)


def all_footage(source: Source) -> list[Footage]:
    """Returns the footage of the videos of a `Source`."""
    files = getattr(source, "file_ids", None) or [0] * len(source)
    return [footage(source[i].name, files[i]) for i in range(len(source))]


def shared_videos(train: Iterable[Footage], test: Iterable[Footage]) -> list[Shared]:
    """Finds the videos that are in both splits, sorted; each pair of paths once."""
    sides = []
    for videos in (train, test):
        by_key = defaultdict(list)
        for video in videos:
            for key in _keys(video):
                by_key[key].append(video)
        sides.append(by_key)
    pairs: dict[tuple[str, str], Shared] = {}
    for same in (SAME_NAME, SAME_FILE, SAME_CLIP):
        for key in sides[0].keys() & sides[1].keys():
            if key[0] == same:
                for a, b in _overlapping(sides[0][key], sides[1][key]):
                    pairs.setdefault((a.path, b.path), Shared(a.name, b.name, same))
    return sorted(pairs.values())


def refuse_shared(source: Source, test_source: Source) -> None:
    """Raises ValueError if two `Source`s share a video, in any class."""
    both = shared_videos(all_footage(source), all_footage(test_source))
    if both:
        raise ValueError(
            f"data: videos in both the training and the test list: {len(both)}, first: "
            f"{both[0].describe()}. Remove them from one of the lists."
        )


def same_names(videos: Iterable[Footage]) -> list[tuple[str, ...]]:
    """Returns the paths of each file that has several in one split, sorted."""
    paths = defaultdict(set)
    for video in videos:
        paths[video.file or _normal(video.path)].add(video.path)
    return sorted(tuple(sorted(some)) for some in paths.values() if len(some) > 1)


def same_clips(videos: Iterable[Footage]) -> list[tuple[str, ...]]:
    """Returns a path of each encoding of the clips that one split has in several, sorted."""
    paths: dict[str, dict[str | int, str]] = defaultdict(dict)
    for video in videos:
        paths[_stem(video.path)].setdefault(video.file or _normal(video.path), video.path)
    return sorted(tuple(sorted(some.values())) for some in paths.values() if len(some) > 1)


def encodings_line(source: Source, split: str) -> str:
    """Returns a line about the clips that a source of files has in several encodings, or ""."""
    pairs = same_clips(all_footage(source)) if getattr(source, "file_ids", ()) else ()
    if not pairs:
        return ""
    return (
        f"{len(pairs)} {split} clip{'s' if len(pairs) > 1 else ''} in several encodings, each used "
        "as a video; first: " + " and ".join(pairs[0])
    )


def clips(paths: Sequence[str], files: Mapping[str, int]) -> dict[str, str]:
    """Finds the paths of one clip: its encodings, kinds of pictures, and other names of one file.

    Args:
        paths: relative to the folder of videos, with `/`.
        files: `file_id` of files that may have several names among them.

    Returns:
        The first path of its clip, by path. It is the path itself if the clip has no other.
    """
    stems = {path: _stem(path) for path in paths}
    parts = {path: clip for clip, some in mixed_clips(paths).items() for path in some.values()}
    if not files and not parts and len(set(stems.values())) == len(stems):
        return {path: path for path in paths}
    first: dict[str | int | tuple, str] = {}
    parent: dict[str, str] = {}

    def root(path: str) -> str:
        while parent[path] != path:
            path = parent[path]
        return path

    for path in sorted(paths):
        parent[path] = path
        for key in (stems[path], files.get(path), ("clip", parts.get(path))):
            if key and key != ("clip", None):
                a, b = sorted((root(first.setdefault(key, path)), root(path)))
                parent[b] = a
    return {path: root(path) for path in paths}


def _keys(video: Footage) -> list[tuple[str, str | int]]:
    known = (SAME_FILE, video.file) if video.file else (SAME_NAME, _normal(video.path))
    return list({(SAME_NAME, video.path), known, (SAME_CLIP, _stem(video.path))})


def _normal(path: str) -> str:
    """Returns a path without `.`, `..` and repeated slashes."""
    plain = "/." not in path and "//" not in path and not path.startswith(".")
    return path if plain else posixpath.normpath(path)


def _stem(path: str) -> str:
    # Accents of a copy that went through a Mac are not composed.
    return unicodedata.normalize("NFC", stem_of(_normal(path)))


def _overlapping(train: list[Footage], test: list[Footage]) -> Iterable[tuple[Footage, Footage]]:
    """Yields each training segment with the test segment that reaches furthest into it."""
    test = sorted(test, key=lambda video: video.start)
    starts = [video.start for video in test]
    furthest: list[Footage] = []  # of the first so many, the one that ends last
    for video in test:
        furthest.append(max([video, *furthest[-1:]], key=lambda video: video.end))
    for video in train:
        before = bisect_left(starts, video.end)
        if before and furthest[before - 1].end > video.start:
            yield video, furthest[before - 1]
