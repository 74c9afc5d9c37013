"""The videos that a user means: files, folders and patterns, and the names of their outputs."""

import dataclasses
import glob
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from afn_jax.atomic import is_temporary
from afn_jax.data.source import Skipped, Unused
from afn_jax.data.sources.catalog import Catalog
from afn_jax.data.sources.frame_names import EXTENSIONS as READ_PICTURES
from afn_jax.data.sources.frame_names import NUMBERED_PICTURE
from afn_jax.data.sources.identity import file_id
from afn_jax.data.sources.kinds import PICTURE, VIDEO, extension_of, kind_of, look_into, stem_of
from afn_jax.data.sources.mark import WRITTEN, is_marked_folder, without_marked
from afn_jax.data.sources.unused import Tally
from afn_jax.near_names import printable
from afn_jax.predict.film.mark import is_marked
from afn_jax.predict.flow.results import HIDDEN
from afn_jax.predict.outputs.written import Written

RESERVED = {"index", "skipped", "suggest", "predict"}  # names of files beside those of the videos
_LONGEST = 120  # bytes of a name; file systems allow 255, with what is added
_SHOWN = 3


_FILM = "a film that afn-jax wrote, not a video"


@dataclasses.dataclass(frozen=True)
class Found:
    """The videos to predict.

    Attributes:
        videos: paths, each video once, in the order given; those of a folder sorted.
        skipped: what was named and cannot be predicted, with the reason.
        rest: what else lies in the folders, one by one, with a path that can be opened.
        unused: the same, counted by kind.
    """

    videos: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    rest: tuple[Skipped, ...]
    unused: tuple[Unused, ...]


class NoVideos(ValueError):
    """There is no video; `skipped` is what was found instead."""

    def __init__(self, message: str, skipped: tuple[Skipped, ...]):
        super().__init__(message)
        self.skipped = skipped


def video_identity(path: str) -> str | int:
    """Returns what is equal for all names of a file or folder: see `identity.file_id`."""
    try:
        return (not os.path.isdir(path) and file_id(os.stat(path))) or os.path.realpath(path)
    except OSError:
        return os.path.realpath(path)


def find_videos(arguments: Sequence[str]) -> Found:
    """Finds the videos of a command line.

    Films and folders of flow that this package wrote are not videos. A video with several names is
    used once.

    Args:
        arguments: files, folders (searched with all folders below) and patterns such as `a/*.mp4`
            or `**/*.avi`. A folder of numbered pictures is a video.

    Raises:
        NoVideos: there is none; the message says what was found instead.
    """
    found = _Search()
    for argument in arguments:
        if not argument:
            raise ValueError("videos: got an empty name; give files, folders or patterns.")
        argument = os.path.expanduser(argument)
        if os.path.lexists(argument):
            found.add(argument)
            continue
        matches = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []
        if not matches:
            what = "no file matches" if glob.has_magic(argument) else "no such file or folder"
            found.skipped.append(Skipped(argument, what))
        for match in matches:
            found.add(match)
    unused = tuple(found.unused)
    skipped, rest = tuple(dict.fromkeys(found.skipped)), tuple(dict.fromkeys(found.rest))
    if not found.videos:
        raise NoVideos(_none_found(arguments, found.skipped, unused), (*skipped, *rest))
    return Found(tuple(found.videos.values()), skipped, rest, unused)


class _Search:
    """What was found so far."""

    def __init__(self):
        self.videos: dict[str | int, str] = {}  # path by identity
        self.skipped: list[Skipped] = []
        self.rest: list[Skipped] = []
        self.unused: list[Unused] = []
        self._folders: set[str] = set()
        self._written = Written()

    def add(self, path: str) -> None:
        """Adds a file, a folder of pictures, or all videos below a folder."""
        if not os.path.isdir(path):
            reason = _why_not(path)
            if reason:
                self.skipped.append(Skipped(path, reason))
            else:
                self._add_video(path)
            return
        if reason := why_written(path):
            self.skipped.append(Skipped(path, reason))
            return
        if _is_frame_folder(path, self._written):
            self._add_video(path)
            return
        if os.path.realpath(path) in self._folders:
            return
        self._folders.add(os.path.realpath(path))
        listing = _Listing(path, self._written)
        catalog = Catalog(path, rest=listing, left_out=self._left_out)
        for name in sorted([*catalog.videos, *catalog.frame_folders]):
            self._add_video(os.path.join(path, name))
        self.skipped += catalog.unreadable
        self.rest += sorted(listing.rows, key=lambda item: item.path)
        self.unused += catalog.rest

    def _left_out(self, path: str) -> str:
        """Returns why a video or a picture in a folder is not used, or ""."""
        if path in self._written:
            return "output of afn-jax predict"
        return _FILM if kind_of(path) != PICTURE and is_marked(path) else ""

    def _add_video(self, path: str) -> None:
        first = self.videos.setdefault(video_identity(path), path)
        if os.path.abspath(first) != os.path.abspath(path):
            self.skipped.append(Skipped(path, f"the same file as {printable(first)}"))


class _Listing(Tally):
    """Lists what is not used, one by one; without outputs of this program."""

    def __init__(self, root: str, written: Written):
        super().__init__()
        self._root, self._written = root, written
        self.rows: list[Skipped] = []

    def add(self, kind: str, path: str, reason: str) -> None:
        whole = os.path.join(self._root, path)
        name = os.path.basename(path)
        if is_temporary(name) or HIDDEN.fullmatch(name):
            return
        if whole not in self._written and os.path.dirname(whole) not in self._written:
            super().add(kind, path, reason)
            self.rows.append(Skipped(whole, reason))


def _why_not(path: str) -> str:
    """Returns why a file that was named is not a video; "" if it may be one."""
    kind = kind_of(path)
    if reason := why_written(path):
        return reason
    if kind == VIDEO:
        return ""
    if kind == PICTURE:
        return "a picture, not a video; for the flow of two pictures: afn-jax flow A B"
    if path.lower().endswith(".afn"):
        return "a network, not a video; give the network first, then the videos"
    found = look_into(path)
    return "" if found == VIDEO else (found if not kind else f"{found} ({kind})")


def why_written(path: str) -> str:
    """Returns why a file or folder that this package wrote is not a video; "" for others."""
    if is_marked_folder(path):
        return f"{WRITTEN}; give the video or folder that it is the flow of"
    return f"{_FILM}; give the video that it shows" if is_marked(path) else ""


def _is_frame_folder(path: str, written: Written) -> bool:
    """Whether a folder is one of frames: numbered pictures, and no folders or videos."""
    pictures = []
    try:
        with os.scandir(path) as items:
            for item in items:
                if item.name.startswith(".") or item.path in written:
                    continue
                if item.is_dir():
                    if is_marked_folder(item.path):
                        continue
                    return False
                if kind_of(item.name) == VIDEO and not is_marked(item.path):
                    return False
                if extension_of(item.name) in READ_PICTURES:
                    pictures += [item.name] * bool(NUMBERED_PICTURE.fullmatch(item.name))
    except OSError:
        return False
    return len(without_marked(path, pictures)) > 1


def _none_found(
    arguments: Sequence[str], skipped: Sequence[Skipped], unused: Sequence[Unused]
) -> str:
    reasons = [f"{printable(item.path)}: {item.reason}" for item in skipped]
    reasons += [f"{item.count} {item.kind}: {item.reason}" for item in unused]
    rest = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    found = "; ".join(reasons[:_SHOWN]) + rest if reasons else "the folder is empty"
    named = ", ".join(map(printable, arguments[:_SHOWN]))
    return (
        f"videos: there is no video in {named} ({found}). Give video files, folders of them, or "
        "patterns such as 'videos/**/*.mp4'."
    )


def output_names(
    videos: Sequence[str],
    *,
    known: Mapping[str, str] | None = None,
    endings: Sequence[str] = (".json",),
    is_free: Callable[[str], bool] = lambda name: True,
) -> dict[str, str]:
    """Returns a name for the outputs of each video, different for all, in any case of letters.

    It is the stem of the file. If several files share it or it is not free, the extension is added,
    or else the folder, or else a number.

    Args:
        videos: paths.
        known: names of videos that have one already.
        endings: of the files that each name stands for.
        is_free: whether a name can be used for a video that has none.
    """
    names = dict(known or {})
    taken = {(name + ending).casefold() for name in names.values() for ending in endings}

    def free(name: str) -> bool:
        files = {(name + ending).casefold() for ending in endings}
        return name.casefold() not in RESERVED and not files & taken and is_free(name)

    groups: dict[str, list[str]] = {}
    for video in videos:
        groups.setdefault(stem_of(_base(video)).casefold(), []).append(video)
    for group in groups.values():
        choices = _choices(group)
        for position, video in enumerate(group):
            if video in names:
                continue
            wanted = [choice[position] for choice in choices]
            name = next((name for name in wanted if free(name)), "")
            count = 1
            while not name:
                count += 1
                numbered = f"{wanted[-1]}-{count}"
                name = numbered if free(numbered) else ""
            names[video] = name
            taken |= {(name + ending).casefold() for ending in endings}
    return {video: names[video] for video in videos}


def _choices(videos: list[str]) -> list[list[str]]:
    """Returns names for videos with one stem, the best ones first, which differ if possible."""
    choices = (
        [stem_of(_base(video)) for video in videos],
        [_base(video).replace(".", "-") for video in videos],
        [f"{_parent(video)}-{stem_of(_base(video))}" for video in videos],
    )
    different = [names for names in choices if len({n.casefold() for n in names}) == len(names)]
    return [[_clean(name) for name in names] for names in different or choices[-1:]]


def _base(video: str) -> str:
    return os.path.basename(os.path.abspath(video))


def _parent(video: str) -> str:
    return Path(os.path.abspath(video)).parent.name


def _clean(name: str) -> str:
    """Returns a name that files can have: not hidden, not too long."""
    name = name.lstrip(".") or "video"
    data = os.fsencode(name)
    return name if len(data) <= _LONGEST else data[:_LONGEST].decode("utf-8", "ignore")
