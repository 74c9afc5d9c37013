"""Flow of two pictures, a folder of frames or a video, from a method to files."""

import contextlib
import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from afn_jax.data.files.image import read_picture
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.kinds import VIDEO, kind_of
from afn_jax.predict.flow.files import FLOW_KINDS, flow_path, open_flow_writer, write_flow_file
from afn_jax.predict.flow.methods import FlowMethod
from afn_jax.predict.flow.results import check_free, results
from afn_jax.predict.frames.stream import Frame, open_frames

PAIR_KINDS = ("png", "flo", "kitti", "npz")
_LARGEST_KNOWN = 1e9


@dataclasses.dataclass(frozen=True)
class FlowSummary:
    """What was computed.

    Attributes:
        flows: number of flows.
        size: (height, width).
        mean_speed: over all known pixels of all flows, in px.
        largest_speed: likewise.
        files: the files and folders that were written.
        notes: what a user should know.
    """

    flows: int
    size: tuple[int, int]
    mean_speed: float
    largest_speed: float
    files: tuple[Path, ...]
    notes: tuple[str, ...]


class _Speeds:
    """Mean and largest speed of flows as they come."""

    def __init__(self):
        self.flows, self.size, self._total, self._pixels, self.largest = 0, (0, 0), 0.0, 0, 0.0

    def add(self, flow: np.ndarray) -> None:
        speed = np.linalg.norm(flow, axis=-1)
        speed = speed[speed <= _LARGEST_KNOWN]  # False for NaN
        self.flows, self.size = self.flows + 1, flow.shape[:2]
        self._total += float(speed.sum(dtype=np.float64))
        self._pixels += speed.size
        self.largest = max(self.largest, float(speed.max(initial=0)))

    def summary(self, files: Iterable[Path], notes: Iterable[str]) -> FlowSummary:
        mean = self._total / max(1, self._pixels)
        return FlowSummary(self.flows, self.size, mean, self.largest, tuple(files), tuple(notes))


def read_pair(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> list[np.ndarray]:
    """Reads two pictures of one size, each `[H, W, 3]` uint8 RGB.

    Raises:
        ValueError: one is not a picture, or the sizes differ.
        OSError: one cannot be read.
    """
    pictures = [_read_picture(os.fspath(path)) for path in (first, second)]
    if pictures[0].shape != pictures[1].shape:
        sizes = " and ".join(f"{x.shape[0]} x {x.shape[1]}" for x in pictures)
        raise ValueError(f"the pictures are {sizes}; they must have the same size")
    return pictures


def _read_picture(path: str) -> np.ndarray:
    try:
        return read_picture(path)
    except ValueError:
        if kind_of(path) != VIDEO:
            raise
        raise ValueError(f"{path} is a video; give one video alone, or two pictures") from None


def pair_flow(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    method: FlowMethod,
    stem: str | os.PathLike[str],
    *,
    kinds: Sequence[str] = ("png", "flo"),
    max_magnitude: float | None = None,
    overwrite: bool = False,
) -> FlowSummary:
    """Writes the flow from one picture to another.

    Args:
        first: picture at whose pixels the flow starts.
        second: picture of the same size.
        method: estimates the flow.
        stem: name of the files without extension: NAME.png, NAME.flo, NAME_kitti.png, NAME.npz.
        kinds: of `PAIR_KINDS`.
        max_magnitude: speed in px at full saturation of png; None: the largest.
        overwrite: replace older results.

    Raises:
        ValueError: one is not a picture, the sizes differ, a kind is unknown, a result exists, or
            another process is writing results of this name.
        OSError: one cannot be read, or a file cannot be written.
    """
    if unknown := [kind for kind in kinds if kind not in PAIR_KINDS]:
        raise ValueError(
            f"formats: got {unknown[0]}; two pictures give {', '.join(PAIR_KINDS)}. Give a video "
            "or a folder of frames for the others."
        )
    paths = check_outputs(stem, kinds, (first, second), pair=True, overwrite=overwrite)
    pictures = read_pair(first, second)
    notes = []
    with results(Path(stem), paths, overwrite=overwrite) as written:
        (flow,) = method.flows(pictures)
        notes += method.notes
        for kind, path, place in zip(kinds, written, paths, strict=True):
            if kind == "npz":
                with open_flow_writer(kind, path) as writer:
                    writer.add(flow, 0, 0.0)
                continue
            lost = write_flow_file(kind, path, flow, max_magnitude=max_magnitude)
            if lost:
                notes.append(
                    f"{place}: {lost} pixels move by 512 px or more, which KITTI's format cannot "
                    "hold; they are marked as unknown"
                )
    speeds = _Speeds()
    speeds.add(flow)
    return speeds.summary(paths, notes)


def video_flow(
    source: str | os.PathLike[str],
    method: FlowMethod,
    stem: str | os.PathLike[str],
    *,
    kinds: Sequence[str] = ("mp4",),
    stride: int = 1,
    max_magnitude: float | None = None,
    fps: float | None = None,
    frame_names: str = "",
    on_frame: Callable[[float, float | None], None] | None = None,
    overwrite: bool = False,
) -> FlowSummary:
    """Writes the flow from each frame of a video to the next; memory does not grow.

    Args:
        source: a video, or a folder of numbered pictures.
        method: estimates the flow.
        stem: start of the names of the files and folders, see `flow_path`.
        kinds: of `FLOW_KINDS`.
        stride: frames of the video from one used frame to the next.
        max_magnitude: speed in px at full saturation of png and mp4; None: from the flow.
        fps: frames per second of a folder of pictures.
        frame_names: what the names of its frames look like, such as `img_*`; empty: found out.
        on_frame: called with the time of each used frame and the duration in s, if it is known.
        overwrite: replace older results.

    Raises:
        VideoReadError: the source cannot be read, or has less than two used frames.
        ValueError: a kind is unknown, a result exists, or another process is writing results of
            this name.
        OSError: a file cannot be written.
    """
    if unknown := [kind for kind in kinds if kind not in FLOW_KINDS]:
        raise ValueError(f"formats: got {unknown[0]}; allowed: {', '.join(FLOW_KINDS)}.")
    if stride < 1:
        raise ValueError(f"stride: got {stride}; it must be 1 or more.")
    paths = check_outputs(stem, kinds, (source,), pair=False, overwrite=overwrite)
    speeds, used = _Speeds(), 0
    with (
        open_frames(source, fps=fps, frame_names=frame_names) as frames,
        results(Path(stem), paths, overwrite=overwrite) as written,
        contextlib.ExitStack() as stack,
    ):
        writers = [
            stack.enter_context(
                open_flow_writer(kind, path, duration=frames.duration, max_magnitude=max_magnitude)
            )
            for kind, path in zip(kinds, written, strict=True)
        ]

        def counted() -> Iterator[Frame]:
            nonlocal used
            for frame in itertools.islice(frames, 0, None, stride):
                used += 1
                if on_frame is not None:
                    on_frame(frame.time, frames.duration)
                yield frame

        for frame, flow in _with_frames(counted(), method):
            speeds.add(flow)
            for writer in writers:
                writer.add(flow, frame.index, frame.time, frame.image)
        if not speeds.flows:
            by_stride = f" with stride {stride}" if stride > 1 else ""
            raise VideoReadError(f"{source}: {used} frame{by_stride}, but flow needs two")
    notes = [*frames.notes, *method.notes]
    for writer, path in zip(writers, paths, strict=True):
        notes += (note.replace(os.fspath(writer.path), os.fspath(path)) for note in writer.notes)
    return speeds.summary(paths, notes)


def _with_frames(frames: Iterator[Frame], method: FlowMethod) -> Iterator[tuple[Frame, np.ndarray]]:
    """Yields each flow with the frame at which it starts."""
    waiting: deque[Frame] = deque()

    def images() -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append(frame)
            yield frame.image

    for flow in method.flows(images()):
        yield waiting.popleft(), flow


def check_outputs(
    stem: str | os.PathLike[str],
    kinds: Sequence[str],
    inputs: Iterable[str | os.PathLike[str]],
    *,
    pair: bool,
    overwrite: bool,
) -> list[Path]:
    """Returns the paths of the results, before hours of work.

    Args:
        stem: start of their names.
        kinds: of `PAIR_KINDS` or `FLOW_KINDS`.
        inputs: what must not be replaced.
        pair: whether the result is the flow of two pictures.
        overwrite: replace older results.

    Raises:
        ValueError: a result would replace an input or exists, or its folder cannot be one.
    """
    stem = Path(stem)
    paths = [_pair_path(stem, kind) if pair else flow_path(stem, kind) for kind in kinds]
    for path in paths:
        for given in inputs:
            if _same(path, given):
                raise ValueError(
                    f"out: got {stem}, so the flow would replace the input {given}. Give another "
                    "name with --out."
                )
    folder = stem.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"out: {folder} is a file, not a folder. Give another name with --out.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"out: {folder} cannot be written. Give another name with --out.")
    check_free(paths, overwrite=overwrite)
    return paths


def _pair_path(stem: Path, kind: str) -> Path:
    return stem.with_name(f"{stem.name}_kitti.png" if kind == "kitti" else f"{stem.name}.{kind}")


def _same(path: Path, given: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(path, given)
    except OSError:  # one does not exist
        return False
