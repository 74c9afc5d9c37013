"""Inspection of the files of a dataset: existence, complete decoding, identical copies."""

import dataclasses
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from afn_jax.data.check.dataset import Inspected
from afn_jax.data.check.frame_folders import inspect_frames
from afn_jax.data.files.flow import read_flow
from afn_jax.data.files.video import decode_all, index_video
from afn_jax.data.files.video_stream import file_problem
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.identity import file_id

FLOW_EXTENSIONS = (".flo", ".pfm")
FOLDER = -1  # stands for the size of a folder
# Guessed. Frame counts in headers are off by a few frames in intact files too.
_WHOLE = 0.9


def inspect_files(
    paths: Mapping[str, str],
    *,
    decode: bool = True,
    num_threads: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
    frame_names: str = "",
    only: Collection[str] | None = None,
) -> dict[str, Inspected]:
    """Inspects files in parallel.

    Args:
        paths: the files' paths by name.
        decode: decode every frame of every video; otherwise check existence and size only.
        num_threads: number of threads; the default is the number of CPU cores.
        progress: wraps the iterator over the results, one per file.
        frame_names: as for `find_frames`.
        only: the names of the files to inspect; None: all.

    Returns:
        The state of each file, by name.
    """
    stats = {name: _stat(path) for name, path in paths.items()}
    sizes = {name: _size(file) for name, file in stats.items()}
    as_long = defaultdict(set)
    for name, size in sizes.items():
        if size and size != FOLDER:  # empty files are reported anyway
            as_long[size].add(file_id(stats[name]) or os.path.realpath(paths[name]))

    def inspect(name: str) -> tuple[str, Inspected]:
        size, path = sizes[name], paths[name]
        if size is None:
            return name, Inspected(exists=False)
        if problem := file_problem(stats[name]):
            return name, Inspected(problem=problem, file=file_id(stats[name]))
        try:
            found = inspect_file(path, frame_names) if decode else Inspected()
            found = dataclasses.replace(found, file=file_id(stats[name]))
            if len(as_long.get(size, ())) > 1:
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found = dataclasses.replace(found, digest=digest)
        except OSError as error:
            return name, Inspected(problem=error.strerror or str(error))
        return name, found

    with ThreadPoolExecutor(num_threads or os.cpu_count() or 1) as pool:
        return dict(progress(pool.map(inspect, [n for n in paths if only is None or n in only])))


def inspect_file(path: str | Path, frame_names: str = "") -> Inspected:
    """Decodes one video completely (a file or a folder of pictures), or reads one flow file.

    Args:
        path: the file or folder.
        frame_names: as for `find_frames`.

    Raises:
        OSError: the file cannot be read at all.
    """
    if is_flow_file(Path(path)):
        try:
            _, known = read_flow(path)
        except ValueError as error:
            return Inspected(problem=str(error).removeprefix(f"{path}: "))
        return Inspected(num_frames=1, problem="" if known.any() else "no pixel with known flow")
    if os.path.isdir(path):
        return inspect_frames(str(path), frame_names)
    try:
        index = index_video(path)
        decoded = decode_all(path)
    except VideoReadError as error:
        return Inspected(problem=str(error).removeprefix(f"{path}: "))
    if decoded.frames < index.num_frames:
        return Inspected(
            num_frames=decoded.frames,
            problem=f"only {decoded.frames} of {index.num_frames} frames can be decoded",
        )
    oddities = []
    if index.num_frames < _WHOLE * decoded.promised:
        oddities.append(
            f"its header promises {decoded.promised} frames, but {index.num_frames} were found"
        )
    if decoded.damaged:
        oddities.append(f"{decoded.damaged} of {index.num_frames} pictures are damaged")
    oddities += decoded.notes
    return Inspected(num_frames=index.num_frames, oddity=", ".join(oddities))


def is_flow_file(path: Path) -> bool:
    """Returns whether a file holds flow: by its extension, or a picture in a folder of KITTI.

    A `.pfm` of one channel holds a disparity or weights.
    """
    extension = path.suffix.lower()
    if extension == ".pfm":
        try:
            with path.open("rb") as file:
                return file.read(2) != b"Pf"
        except OSError:
            return True  # reported when it is inspected
    return extension == ".flo" or (
        extension == ".png" and path.parent.name in ("flow_noc", "flow_occ")
    )


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _size(file: os.stat_result | None) -> int | None:
    """Returns the size of a file in bytes, `FOLDER` for a folder, None if there is neither."""
    if file is None:
        return None
    return FOLDER if stat.S_ISDIR(file.st_mode) else file.st_size
