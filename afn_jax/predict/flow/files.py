"""Writes the flow of a video, one pair of frames at a time, in any of `FLOW_KINDS`.

`npz`: one NumPy file with `flow` `[N, h, w, 2]` float16, (x, y) = (right, down) in pixels, NaN
where unknown; `frames` `[N]`, the number of the frame at which each starts; `times` `[N]` in s.
`flo`, `kitti`: a folder with a Middlebury `.flo` or KITTI 16-bit `.png` file per flow, named by the
number of the frame. `png`: likewise a color picture. `mp4`: a video of the colors. Folders,
pictures and videos have a mark, so that they are not taken for videos to predict.
"""

import abc
import contextlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np

from afn_jax.atomic import complete_or_absent
from afn_jax.data.files.flow import write_flo, write_kitti_png
from afn_jax.data.sources.mark import MARK_FILE, is_marked_folder, mark_folder, marked_png
from afn_jax.predict.film.flow import FlowColors, flow_colors
from afn_jax.predict.film.writer import FilmWriter

FLOW_KINDS = ("npz", "flo", "kitti", "png", "mp4")
_FOLDERS = {"flo": ".flo", "kitti": ".png", "png": ".png"}
_FLOW = re.compile(r"\d{6,}\.(flo|png)")
_LARGEST_KNOWN = 1e9
_KITTI_RANGE = -512, 511.984375  # px
_CHUNK = 2**22  # bytes


def flow_path(stem: str | os.PathLike[str], kind: str) -> Path:
    """Returns where `kind` is written: NAME.npz, NAME.mp4, or a folder such as NAME_flo."""
    stem = Path(stem)
    return stem.with_name(f"{stem.name}_{kind}" if kind in _FOLDERS else f"{stem.name}.{kind}")


class FlowWriter(abc.ABC):
    """Writes the flow of one video.

    The file or folder appears when `close` is called. A `with` statement calls it, unless an error
    is raised inside: then nothing is left, and an older result stays.

    Attributes:
        path: the file or folder.
        notes: what is different from the flow that was given, once closed.
    """

    path: Path
    notes: tuple[str, ...] = ()

    @abc.abstractmethod
    def add(
        self, flow: np.ndarray, frame: int, time: float, picture: np.ndarray | None = None
    ) -> None:
        """Adds a flow.

        Args:
            flow: `[h, w, 2]`, (x, y) in pixels, the same size for all; NaN where unknown.
            frame: number of the frame at which it starts, larger than the one before.
            time: of that frame in seconds.
            picture: `[H, W, 3]` uint8 RGB, that frame. A video then shows it beside the flow. For
                all flows or none.

        Raises:
            ValueError: the sizes differ, or the time is negative.
            OSError: the disk is full.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Completes the file or folder. Without a flow there is none."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Removes what was written."""

    def __enter__(self) -> "FlowWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def open_flow_writer(
    kind: str,
    path: str | os.PathLike[str],
    *,
    duration: float | None = None,
    max_magnitude: float | None = None,
) -> FlowWriter:
    """Opens a writer.

    Args:
        kind: of `FLOW_KINDS`.
        path: the file or folder, see `flow_path`; the folder that it is in must exist.
        duration: of the video in seconds, for the timeline of mp4; None: unknown.
        max_magnitude: speed in px at full saturation of png and mp4; None: from the flow.

    Raises:
        ValueError: unknown kind, or `path` is a folder with other files in it.
        OSError: it cannot be written.
    """
    if kind not in FLOW_KINDS:
        raise ValueError(f"flow: got {kind!r}; allowed: {', '.join(FLOW_KINDS)}")
    if kind == "npz":
        return _Npz(Path(path))
    if kind == "mp4":
        return _Film(Path(path), duration, max_magnitude)
    return _Folder(Path(path), kind, max_magnitude)


def write_flow_file(
    kind: str, path: str | os.PathLike[str], flow: np.ndarray, *, max_magnitude: float | None = None
) -> int:
    """Writes one flow as a `flo`, `kitti` or `png` file.

    Args:
        kind: of these.
        path: the file.
        flow: `[h, w, 2]` in pixels; NaN where unknown.
        max_magnitude: speed in px at full saturation of png; None: the largest.

    Returns:
        How many known pixels are marked as unknown because KITTI's format cannot hold them.

    Raises:
        OSError: the file cannot be written; an older one stays.
    """
    flow = np.asarray(flow, np.float32)
    known = (np.abs(flow) <= _LARGEST_KNOWN).all(-1)
    lost = 0
    with complete_or_absent(path) as unfinished:
        if kind == "flo":
            write_flo(unfinished, flow, None if known.all() else known)
        elif kind == "kitti":
            low, high = _KITTI_RANGE
            fits = known & ((flow >= low) & (flow <= high)).all(-1)
            lost = int(known.sum() - fits.sum())
            write_kitti_png(unfinished, np.where(fits[..., None], flow, 0), fits)
            unfinished.write_bytes(marked_png(unfinished.read_bytes()))
        else:
            if max_magnitude is None:
                speed = np.linalg.norm(flow[known], axis=-1)
                max_magnitude = float(speed.max(initial=0)) or 1.0
            colors = flow_colors(flow, max_magnitude)
            _, encoded = cv2.imencode(".png", cv2.cvtColor(colors, cv2.COLOR_RGB2BGR))
            unfinished.write_bytes(marked_png(encoded.tobytes()))
    return lost


class _Aborted(Exception):
    """Makes `complete_or_absent` remove what was written."""


class _Unfinished(FlowWriter):
    """A writer to a temporary path."""

    def __init__(self, path: Path):
        self.path = path
        self._stack = contextlib.ExitStack()
        self._temporary = self._stack.enter_context(complete_or_absent(path))
        self._shape: tuple[int, ...] | None = None
        self._frames: list[int] = []
        self._times: list[float] = []
        self._open = True

    def close(self) -> None:
        if not self._open:
            return
        if not self._frames:
            self.abort()
            return
        try:
            self._finish()
        except BaseException:
            self.abort()
            raise
        self._open = False
        self._stack.close()

    def abort(self) -> None:
        self._open = False
        self._discard()
        with contextlib.suppress(_Aborted):
            with self._stack:
                raise _Aborted

    def _finish(self) -> None: ...

    def _discard(self) -> None: ...

    def _checked(self, flow: np.ndarray, frame: int, time: float) -> np.ndarray:
        flow = np.asarray(flow)
        if flow.ndim != 3 or flow.shape[-1] != 2 or not flow.size:
            raise ValueError(f"flow: got shape {flow.shape}; it must be [h, w, 2]")
        if self._shape not in (None, flow.shape):
            raise ValueError(
                f"flow: got shape {flow.shape}, but that of the video before has {self._shape}"
            )
        self._shape = flow.shape
        self._frames.append(int(frame))
        self._times.append(float(time))
        return flow


class _Npz(_Unfinished):
    """The flows go to a file of raw numbers first: the header of an array tells their count."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._raw = self._temporary.with_name(f"{self._temporary.name}.raw")
        try:
            self._file = open(self._raw, "wb")
        except BaseException:
            self.abort()
            raise

    def add(self, flow, frame, time, picture=None) -> None:
        flow = self._checked(flow, frame, time).astype(np.float32)
        unknown = ~(np.abs(flow) <= _LARGEST_KNOWN).all(-1, keepdims=True)
        largest = np.finfo(np.float16).max
        halves = np.where(unknown, np.nan, np.clip(flow, -largest, largest)).astype("<f2")
        with _naming(self.path):
            self._file.write(halves.tobytes())

    def _finish(self) -> None:
        with _naming(self.path):
            self._file.close()
            shape = (len(self._frames), *self._shape)
            with zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_STORED) as archive:
                with archive.open("flow.npy", "w", force_zip64=True) as array:
                    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(array, header)
                    with open(self._raw, "rb") as raw:
                        shutil.copyfileobj(raw, array, _CHUNK)
                for name, values in (("frames", self._frames), ("times", self._times)):
                    with archive.open(f"{name}.npy", "w") as array:
                        np.lib.format.write_array(array, np.array(values))
        self._discard()

    def _discard(self) -> None:
        file = getattr(self, "_file", None)
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
        with contextlib.suppress(OSError):
            self._raw.unlink(missing_ok=True)


def other_than_flow(folder: Path) -> str:
    """Returns what a folder has or lacks, unlike the flow of a video; "" if it is one."""
    for name in sorted(os.listdir(folder)):
        if name != MARK_FILE and not _FLOW.fullmatch(name):
            return f"it has files that are not flow, such as {name}"
    return "" if is_marked_folder(folder) else f"it has no {MARK_FILE}, as folders of flow have"


def _check_older(path: Path) -> None:
    """Raises ValueError if there is something that is not an older folder of flow."""
    if not os.path.lexists(path):
        return
    if other := other_than_flow(path) if path.is_dir() else "it is a file":
        raise ValueError(
            f"{path}: {other}. Nothing is removed: move it away, or choose another name"
        )


class _Folder(_Unfinished):
    """One file per flow."""

    def __init__(self, path: Path, kind: str, max_magnitude: float | None):
        _check_older(path)
        super().__init__(path)
        self._kind, self._suffix, self._lost = kind, _FOLDERS[kind], 0
        self._colors = FlowColors(max_magnitude)
        try:
            self._temporary.mkdir()
        except BaseException:
            self.abort()
            raise

    def add(self, flow, frame, time, picture=None) -> None:
        flow = self._checked(flow, frame, time)
        scale = None
        if self._kind == "png":
            scale = self._colors.follow(flow, time)
        path = self._temporary / f"{frame:06}{self._suffix}"
        with _naming(self.path):
            self._lost += write_flow_file(self._kind, path, flow, max_magnitude=scale)

    def _finish(self) -> None:
        if self._lost:
            self.notes = (
                f"{self.path}: {self._lost} pixels move by 512 px or more, which KITTI's format "
                "cannot hold; they are marked as unknown",
            )
        with _naming(self.path):
            mark_folder(self._temporary)
        if os.path.lexists(self.path):
            _check_older(self.path)
            shutil.rmtree(self.path)


class _Film(FlowWriter):
    """A video of the colors, beside the frames if there are any."""

    def __init__(self, path: Path, duration: float | None, max_magnitude: float | None):
        self.path = path
        self._settings = {"duration": duration, "max_magnitude": max_magnitude}
        self._film: FilmWriter | None = None
        self._colors = FlowColors(max_magnitude)
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "No such folder", str(path.parent))

    def add(self, flow, frame, time, picture=None) -> None:
        shown = self._colors(np.asarray(flow), time) if picture is None else picture
        if self._film is None:
            place = "none" if picture is None else "beside"
            height, width = shown.shape[:2]
            self._film = FilmWriter(
                self.path, height=height, width=width, flow=place, **self._settings
            )
        self._film.add(shown, time, flow=None if picture is None else flow)

    def close(self) -> None:
        if self._film is not None:
            self._film.close()

    def abort(self) -> None:
        if self._film is not None:
            self._film.abort()


@contextlib.contextmanager
def _naming(path: Path):
    """Makes an OSError name the result instead of a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
