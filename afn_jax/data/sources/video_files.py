"""The source of all datasets of video files: the videos of a list, found and indexed on disk."""

import dataclasses
import logging
import math
import os
import stat
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.files.video import VideoIndex, index_video, read_frames
from afn_jax.data.source import Clip, Skipped, Unused, Video, VideoReadError, checked_indices
from afn_jax.data.sources.catalog import Catalog
from afn_jax.data.sources.frame_folder import (
    AmbiguousFrames,
    FoundPictures,
    FrameFolder,
    find_video,
    left_over,
)
from afn_jax.data.sources.identity import CLASS_MARK, file_id, footage
from afn_jax.data.sources.index_cache import (
    IndexCache,
    default_folder,
    pack,
    packed_frames,
    unpack,
)
from afn_jax.data.sources.lists.frame_kinds import choose_kind, refuse_mixed
from afn_jax.data.sources.lists.video_list import Entry, VideoList, choose_classes
from afn_jax.data.sources.no_videos import none_usable, one_class
from afn_jax.data.sources.spec import ListReader, SourceSpec

SAVE_EVERY = 5000  # newly indexed files; guessed: minutes of work that an interruption may lose
MOST_UNDECIDED = 0.02  # share of the folders of frames; guessed: more are not single exceptions
MANY = 2000  # files from which on indexing is announced; guessed: about ten seconds


@dataclasses.dataclass(frozen=True)
class VideoFile(Video):
    """One labeled video file or a segment of one.

    Attributes:
        name: path relative to the root, with `/`. For a segment it ends in `#t=START,END` in
            seconds, for a video with several classes in `#class=NAME`, so that names are unique.
        label: 0-based class.
        path: path of the file.
        packed_index: positions of its frames; packed, because there may be 240,000 videos.
        num_frames: number of frames.
        first: number of the first of them in the file.
        short_side: as in `read_frames`.
    """

    name: str
    label: int
    path: str
    packed_index: bytes
    num_frames: int
    first: int = 0
    short_side: int | None = None

    @property
    def fps(self) -> float:
        """Frames per second; 0 if the file does not say."""
        return float(self.index.fps)

    @property
    def index(self) -> VideoIndex:
        """Positions of the frames of the whole file."""
        return unpack(self.packed_index)

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices`. Raises `VideoReadError` if the file is damaged."""
        indices = checked_indices(indices, self.num_frames, self.name)
        frames = read_frames(
            self.path, self.index, indices + self.first, short_side=self.short_side
        )
        return Clip(frames)


class VideoFiles:
    """The videos of a list, a `Source`. Each may be a file or a folder of frames.

    Every file is indexed at construction, so that damaged files are found before training starts.
    They are left out, with the reason in `skipped`. Indices are cached for the next start.

    Attributes:
        class_names: indexed by label.
        skipped: files that were left out: unreadable, too short, listed but missing, segments
            outside their video, videos listed again with the same class, under any name.
        file_ids: `identity.file_id` of the file of each video.
        unused: what else lies in the folder. If lists decide what is used: only the pictures beside
            the frames that are not used.
    """

    def __init__(
        self,
        root: str | Path,
        videos: VideoList,
        *,
        min_frames: int = 2,
        short_side: int | None = None,
        flow_bound: float = 20.0,
        frame_names: str = "",
        num_threads: int | None = None,
        cache_folder: str | Path | None = None,
    ):
        """Finds and indexes the videos.

        Args:
            root: the folder that the list's paths start from.
            videos: the list.
            min_frames: videos and segments with fewer frames are skipped.
            short_side: frames are resized to this shorter side, in pixels, aspect kept.
            flow_bound: displacement in pixels that gray level 255 of a flow picture stands for; 0:
                no flow.
            frame_names: what the names of frames look like, as for `find_frames`.
            num_threads: for indexing; the default is the number of CPU cores, 16 at most.
            cache_folder: folder of the cache of frame indices; None: no cache.

        Raises:
            ValueError: an argument is wrong, there is only one class, no usable video, or the names
                do not tell which pictures are the frames.
        """
        root, catalog = str(root), Catalog(root)
        videos = choose_kind(videos, frame_names)
        self.class_names: tuple[str, ...] = videos.class_names
        if len(self.class_names) < 2:
            raise ValueError(one_class(root, videos))
        found = [catalog.locate(entry, videos) for entry in videos.entries]
        _check_found(root, videos, found)
        indexed, files = _index_all(
            root,
            sorted({name for name in found if name is not None}),
            num_threads or min(16, os.cpu_count() or 1),
            None if cache_folder is None else IndexCache(Path(cache_folder), catalog.root),
            frame_names,
        )
        if videos.unused is not None:  # where lists decide, they may name several kinds
            refuse_mixed(root, [name for name, f in indexed.items() if not isinstance(f, bytes)])
        _check_decided(list(indexed.values()))
        results, files_found = [], [files.get(name, 0) for name in found]
        for entry, name in zip(videos.entries, found, strict=True):
            if name is None:
                video = Skipped(os.path.join(root, entry.path), "listed but missing")
            elif isinstance(indexed[name], Skipped):
                video = indexed[name]
            elif isinstance(indexed[name], bytes):
                video = _video_file(root, name, entry, indexed[name], min_frames)
            else:
                video = _frame_folder(root, name, entry, indexed[name], min_frames, flow_bound)
            results.append(video)
        results = _told_apart(
            root, _with_flow_if_most_have(root, results), self.class_names, files_found
        )
        self._videos = tuple(
            dataclasses.replace(video, short_side=short_side)
            for video in results
            if not isinstance(video, Skipped)
        )
        self.file_ids: tuple[int, ...] = tuple(
            file
            for file, video in zip(files_found, results, strict=True)
            if not isinstance(video, Skipped)
        )
        self.unused: tuple[Unused, ...] = (*(videos.unused or ()), *left_over(indexed))
        skipped = [skip for skip in results if isinstance(skip, Skipped)]
        self.skipped: tuple[Skipped, ...] = tuple(
            dict.fromkeys([*videos.skipped, *catalog.unreadable, *skipped])
        )
        if not self._videos:
            raise ValueError(none_usable(videos, skipped, min_frames))

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> VideoFile | FrameFolder:
        return self._videos[index]


def segment_frames(index: VideoIndex, start: float, end: float | None) -> tuple[int, int]:
    """Finds the frames that are shown from `start` on and before `end`.

    Args:
        index: frame index of the file.
        start: start in seconds, as players count: `VideoIndex.times`.
        end: end in seconds; None, or later than the end of the file: to its end.

    Returns:
        The number of the first such frame, and how many there are, which may be 0.
    """
    # Timestamps and annotations may be rounded; a millisecond is less than a frame. Guessed.
    borders = np.array([start, math.inf if end is None else end]) - 1e-3
    first, last = np.searchsorted(index.times, borders)
    return int(first), max(0, int(last - first))


def _check_found(root: str, videos: VideoList, found: list[str | None]) -> None:
    """Raises ValueError if all videos, or those of all classes but one, are missing."""
    present = {e.label for e, name in zip(videos.entries, found, strict=True) if name is not None}
    listed = {entry.label for entry in videos.entries}
    if listed and not present:
        examples = ", ".join(entry.path for entry in videos.entries[:3])
        raise ValueError(
            f"root: none of the {len(found)} {videos.origin} is under {root!r} (the first are "
            f"{examples}); give the folder that these paths start from, or with "
            "--data.annotations the lists that belong to it"
        )
    if len(listed) > 1 and len(present) == 1:
        raise ValueError(
            f"root: {root!r} has videos of only one of the {len(listed)} listed classes, "
            f"{videos.class_names[present.pop()]!r}; give the folder that holds the videos of all"
        )


class _Undecided(Skipped):
    """A folder whose names do not tell which pictures are the frames."""


def _check_decided(indexed: list[bytes | FoundPictures | Skipped]) -> None:
    """Raises ValueError if many folders of frames are undecided."""
    undecided = [found for found in indexed if isinstance(found, _Undecided)]
    folders = len(undecided) + sum(isinstance(found, FoundPictures) for found in indexed)
    if len(undecided) > MOST_UNDECIDED * folders:
        raise ValueError(
            f"data.frame_names: in {len(undecided)} of {folders} folders of frames it is unclear "
            f"which pictures are the frames. {undecided[0].path}: {undecided[0].reason}"
        )


def _index_all(
    root: str, names: list[str], num_threads: int, cache: IndexCache | None, frame_names: str
) -> tuple[dict[str, bytes | FoundPictures | Skipped], dict[str, int]]:
    """Finds by name: the packed index of a file, the pictures of a folder, or the problem.

    Also returns the `file_id` of each.
    """

    def look(name: str) -> tuple[os.stat_result | None, bytes | FoundPictures | Skipped | None]:
        path, file = os.path.join(root, name), None
        try:
            file = os.stat(path)
            if stat.S_ISDIR(file.st_mode):
                return file, find_video(root, name, frame_names)
        except AmbiguousFrames as error:
            return file, _Undecided(path, str(error).removeprefix(f"{path}: "))
        except (OSError, VideoReadError) as error:
            return file, _skipped(path, error)
        return file, None if cache is None else cache.get(name, file)

    def index(name: str) -> bytes | Skipped:
        path = os.path.join(root, name)
        try:
            return pack(index_video(path))
        except VideoReadError as error:
            return _skipped(path, error)

    with ThreadPoolExecutor(max(1, num_threads)) as pool:
        looked = dict(zip(names, pool.map(look, names), strict=True))
        indexed = {name: result for name, (_, result) in looked.items() if result is not None}
        new = [name for name in names if name not in indexed]
        if len(new) > MANY:
            kept = "" if cache is None else " (once; the next start is quick)"
            logging.getLogger(__name__).warning("finding the frames of %d videos%s", len(new), kept)
        for count, (name, result) in enumerate(zip(new, pool.map(index, new), strict=True), 1):
            indexed[name] = result
            if cache is not None and isinstance(result, bytes):
                cache.put(name, looked[name][0], result)
                if count % SAVE_EVERY == 0:
                    cache.save()
    if cache is not None:
        cache.save()
    return indexed, {name: file_id(file) for name, (file, _) in looked.items() if file}


def _skipped(path: str, error: Exception) -> Skipped:
    reason = getattr(error, "strerror", None) or str(error)
    return Skipped(path, reason.removeprefix(f"{path}: "))


def _video_file(
    root: str, name: str, entry: Entry, packed: bytes, min_frames: int
) -> VideoFile | Skipped:
    path = os.path.join(root, name)
    if entry.start is None and entry.end is None:
        first, count = 0, packed_frames(packed)
    else:
        index = unpack(packed)
        start = entry.start or 0.0
        name += f"#t={start:g}" + ("" if entry.end is None else f",{entry.end:g}")
        path_of_segment = path + name[name.rindex("#t=") :]
        if not index.time_base:
            return Skipped(path_of_segment, "the file has neither timestamps nor a frame rate")
        first, count = segment_frames(index, start, entry.end)
        if count < min_frames:
            return Skipped(
                path_of_segment,
                f"{count} frames in the segment, fewer than {min_frames}; the video is "
                f"{index.seconds:.1f} s long",
            )
    if count < min_frames:
        return Skipped(path, f"{count} frames, fewer than {min_frames}")
    return VideoFile(name, entry.label, path, packed, count, first)


def _frame_folder(
    root: str, name: str, entry: Entry, found: FoundPictures, min_frames: int, flow_bound: float
) -> FrameFolder | Skipped:
    frames, flow = found.frames, found.flow
    path = os.path.join(root, name)
    if entry.start is not None or entry.end is not None:
        return Skipped(path, "a segment in seconds, but a folder of frames has no frame rate")
    if len(frames.numbers) < min_frames:
        return Skipped(path, f"{len(frames.numbers)} frames, fewer than {min_frames}")
    return FrameFolder(name, entry.label, frames, flow if flow_bound else None, flow_bound)


def _told_apart(root: str, results: list, class_names: tuple[str, ...], files: list[int]) -> list:
    """Makes names unique: appends the class if there are several; skips repeated videos."""
    labels = defaultdict(set)
    for video in results:
        if not isinstance(video, Skipped):
            labels[video.name].add(video.label)
    apart, first = [], {}
    for video, file in zip(results, files, strict=True):
        if not isinstance(video, Skipped):
            named = footage(video.name)
            entry = (file or named.path, named.start, named.end, video.label)
            if entry in first:
                same = "listed more than once"
                if first[entry] != video.name:
                    same = f"the same file as {first[entry]}"
                video = Skipped(os.path.join(root, video.name), f"{same}; used once")
            else:
                first[entry] = video.name
                if len(labels[video.name]) > 1:
                    name = f"{video.name}{CLASS_MARK}{class_names[video.label]}"
                    video = dataclasses.replace(video, name=name)
        apart.append(video)
    return apart


def _with_flow_if_most_have(root: str, results: list) -> list:
    """Skips the few videos without flow, because a batch needs flow in all videos or in none."""
    videos = [video for video in results if not isinstance(video, Skipped)]
    having = sum(video.has_flow for video in videos)
    if having in (0, len(videos)):
        return results
    if 2 * having < len(videos):
        raise ValueError(
            f"root: {having} of the {len(videos)} videos under {root!r} have flow pictures; "
            "extract those of the others, or leave flow out with --data.flow-bound 0"
        )
    return [
        video
        if isinstance(video, Skipped) or video.has_flow
        else Skipped(os.path.join(root, video.name), "no flow pictures beside the frames")
        for video in results
    ]


def listed_videos(
    read_list: ListReader,
    about: str,
    *,
    root: str = "the folder of the videos",
    split_by: str = "",
    recognize: Callable[[Path, Path | None], bool] | None = None,
) -> SourceSpec:
    """Returns the `SourceSpec` of the video files that `read_list` lists; arguments as there.

    `split_by` is its attribute `split`.
    """

    def create(config: DataConfig, split: str, seed: int) -> VideoFiles:
        folder = Path(config.root).expanduser()
        annotations = Path(config.annotations).expanduser() if config.annotations else None
        videos = read_list(folder, split, annotations, config.list_number)
        if config.classes:
            videos = choose_classes(videos, config.classes)
        cache = Path(config.index_cache).expanduser() if config.index_cache else default_folder()
        return VideoFiles(
            folder,
            videos,
            short_side=config.short_side,
            flow_bound=config.flow_bound if config.stored_flow else 0.0,
            frame_names=config.frame_names,
            cache_folder=None if config.index_cache == "none" else cache,
        )

    return SourceSpec(create, about, root, split_by, read_list=read_list, recognize=recognize)
