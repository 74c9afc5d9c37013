"""Where results go: tables, features, flow and the film of one video."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from afn_jax.predict.film.writer import FilmWriter
from afn_jax.predict.flow.files import flow_path, open_flow_writer
from afn_jax.predict.frames.stream import Frame, PictureFrames, VideoFrames
from afn_jax.predict.outputs.files import ArrayFile, OutputFiles, Table, pack_arrays
from afn_jax.predict.predictor import Predicted
from afn_jax.predict.segments import Segment
from afn_jax.predict.settings import Settings
from afn_jax.predict.timeline import Step

_MOST_WAITING = 200  # frames that wait as plain pictures; guessed: 250 MB at 480 lines


class StepTable(Table):
    """`NAME.csv`: start, end and the most probable classes of each step."""

    def __init__(self, path: Path, class_names: Sequence[str], top: int):
        self._class_names, self._top = class_names, min(top, len(class_names))
        columns = [f"{what}{k}" for k in range(1, self._top + 1) for what in ("class", "p")]
        super().__init__(path, ["start", "end", *columns])

    def add(self, step: Step) -> None:
        order = np.argsort(-step.probabilities, kind="stable")[: self._top]
        row = [step.start, step.end]
        for label in order:
            row += [self._class_names[label], float(step.probabilities[label])]
        self.write([row])


def write_segments(
    path: Path, video: str, segments: Sequence[Segment], class_names: Sequence[str]
) -> None:
    """Writes segments as a list that `--data csv` reads."""
    with Table(path, ["path", "label", "start", "end"]) as table:
        table.write((video, class_names[s.label], s.start, s.end) for s in segments)


class FeatureFile:
    """`NAME.features.npz`: `features` `[N, D]`, `times` and `ends` `[N]` of each window."""

    def __init__(self, outputs: OutputFiles, size: int):
        self._path = outputs.part("features", ".features.npz")
        parts = {name: self._path.with_name(f"{self._path.name}.{name}") for name in _ARRAYS}
        self._files = {
            "times": ArrayFile(parts["times"], (), np.float64),
            "ends": ArrayFile(parts["ends"], (), np.float64),
            "features": ArrayFile(parts["features"], (size,), np.float32),
        }

    def add(self, result: Predicted) -> None:
        self._files["times"].add(result.window.start)
        self._files["ends"].add(result.window.end)
        self._files["features"].add(result.features)

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        pack_arrays(self._path, self._files, complete=kind is None)


_ARRAYS = ("times", "ends", "features")


class FlowFile:
    """The flow of a video, by the writers of `flow_files`."""

    def __init__(self, outputs: OutputFiles, kind: str, duration: float | None):
        ending = flow_path("x", kind).name[1:]
        path = outputs.complete("flow", f".flow{ending}")
        self._writer = open_flow_writer(kind, path, duration=duration)
        self._times: deque[tuple[int, float]] = deque()

    @property
    def notes(self) -> tuple[str, ...]:
        return self._writer.notes

    def wait(self, frame: int, time: float) -> None:
        """Remembers the time of a frame until its flow comes."""
        self._times.append((frame, time))

    def add(self, frame: int, flow: np.ndarray) -> None:
        while self._times[0][0] < frame:
            self._times.popleft()
        self._writer.add(flow, frame, self._times[0][1])

    def __enter__(self) -> "FlowFile":
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)


class Film:
    """The annotated video. Frames wait until their label is known.

    If many have to wait, they wait as JPEG pictures.
    """

    def __init__(
        self,
        outputs: OutputFiles,
        size: tuple[int, int],
        class_names: Sequence[str],
        frames: VideoFrames | PictureFrames,
        settings: Settings,
    ):
        self._writer = FilmWriter(
            outputs.complete("film", ".mp4"),
            height=size[0],
            width=size[1],
            class_names=class_names,
            duration=frames.duration,
            flow=settings.film_flow,
        )
        self._frames: deque[tuple[int, float, np.ndarray]] = deque()
        self._flows: deque[tuple[int, np.ndarray]] = deque()
        self._flow: np.ndarray | None = None

    def wait(self, frame: Frame) -> None:
        """Takes the next frame."""
        picture = frame.picture
        if len(self._frames) >= _MOST_WAITING:
            quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
            _, picture = cv2.imencode(".jpg", picture[..., ::-1], quality)
        self._frames.append((frame.index, frame.time, picture))

    def flow(self, frame: int, flow: np.ndarray) -> None:
        """Takes the flow that starts at a frame, in order, before the frame is written."""
        self._flows.append((frame, flow))

    def write_step(self, step: Step) -> None:
        """Writes the frames up to the end of a step; those before it have no label."""
        self._write(step.first - 1, None)
        self._write(step.last, step.probabilities)

    def write_before(self, frame: int) -> None:
        """Writes the frames before one, without a label."""
        self._write(frame - 1, None)

    def write_rest(self) -> None:
        if self._frames:
            self._write(self._frames[-1][0], None)

    def _write(self, last: int, probabilities: np.ndarray | None) -> None:
        while self._frames and self._frames[0][0] <= last:
            number, time, picture = self._frames.popleft()
            while self._flows and self._flows[0][0] <= number:
                self._flow = self._flows.popleft()[1]  # shown until the next one
            if picture.ndim < 3:  # a JPEG file
                picture = cv2.imdecode(picture, cv2.IMREAD_COLOR)[..., ::-1]
            self._writer.add(np.ascontiguousarray(picture), time, probabilities, self._flow)

    def __enter__(self) -> "Film":
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)
