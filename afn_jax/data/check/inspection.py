"""Inspection of the files of a dataset: existence, complete decoding, identical copies."""

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from afn_jax.data.check.doctor import Inspected
from afn_jax.data.files.flow import read_flow
from afn_jax.data.files.video import decode_all, index_video
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.frame_folder import find_frames

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
) -> dict[str, Inspected]:
    """Inspects files in parallel.

    Args:
        paths: the files' paths by name.
        decode: decode every frame of every video; otherwise check existence and size only.
        num_threads: number of threads; the default is the number of CPU cores.
        progress: wraps the iterator over the results, one per file.

    Returns:
        The state of each file, by name.
    """
    sizes = {name: _size(path) for name, path in paths.items()}
    as_long = defaultdict(set)
    for name, size in sizes.items():
        if size and size != FOLDER:  # empty files are reported anyway
            as_long[size].add(os.path.realpath(paths[name]))

    def inspect(name: str) -> tuple[str, Inspected]:
        size, path = sizes[name], paths[name]
        if size is None:
            return name, Inspected(exists=False)
        if size == 0:
            return name, Inspected(problem="an empty file (0 bytes)")
        try:
            found = inspect_file(path) if decode else Inspected()
            if len(as_long.get(size, ())) > 1:
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found = dataclasses.replace(found, digest=digest)
        except OSError as error:
            return name, Inspected(problem=error.strerror or str(error))
        return name, found

    with ThreadPoolExecutor(num_threads or os.cpu_count() or 1) as pool:
        return dict(progress(pool.map(inspect, paths)))


def inspect_file(path: str | Path) -> Inspected:
    """Decodes one video completely (a file or a folder of pictures), or reads one flow file.

    Raises:
        OSError: the file cannot be read at all.
    """
    if Path(path).suffix.lower() in FLOW_EXTENSIONS:
        try:
            read_flow(path)
        except ValueError as error:
            return Inspected(problem=str(error).removeprefix(f"{path}: "))
        return Inspected(num_frames=1)
    if os.path.isdir(path):
        return _inspect_frames(path)
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
    return Inspected(num_frames=index.num_frames, oddity=", ".join(oddities))


def _inspect_frames(folder: str | Path) -> Inspected:
    try:
        pictures, _ = find_frames(*os.path.split(folder))
    except VideoReadError as error:
        return Inspected(problem=str(error).removeprefix(f"{folder}: "))
    paths = [pictures.path(int(number)) for number in pictures.numbers]
    damaged = [path for path in paths if cv2.imread(path) is None]
    if damaged:
        problem = f"damaged pictures: {len(damaged)}, first: {os.path.basename(damaged[0])}"
        return Inspected(num_frames=len(paths), problem=problem)
    return Inspected(num_frames=len(paths))


def _size(path: str) -> int | None:
    """Returns the size of a file in bytes, `FOLDER` for a folder, None if there is neither."""
    if os.path.isdir(path):
        return FOLDER
    try:
        return os.stat(path).st_size
    except OSError:
        return None
