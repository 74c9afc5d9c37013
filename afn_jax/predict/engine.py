"""Predicts one video: frames in, tables, segments, an annotated film and more out.

Everything is written while the video is read, so memory does not grow with its length. A thread
decodes ahead of the network, and JAX computes a batch while the results of the one before it are
written.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from afn_jax.export.network import Network
from afn_jax.near_names import counted
from afn_jax.predict.frames.ahead import read_ahead
from afn_jax.predict.frames.network_input import NetworkInput
from afn_jax.predict.frames.stream import Frame, open_frames
from afn_jax.predict.frames.windows import Shape, Windows, window_shape
from afn_jax.predict.outputs.files import OutputFiles
from afn_jax.predict.outputs.flow_place import FlowPlace
from afn_jax.predict.outputs.sinks import FeatureFile, Film, FlowFile, StepTable, write_segments
from afn_jax.predict.predictor import Predicted, Predictor
from afn_jax.predict.result import VideoResult
from afn_jax.predict.segments import Segment, SegmentFinder
from afn_jax.predict.settings import Settings
from afn_jax.predict.summary import Strip, Thumbnails
from afn_jax.predict.timeline import Step, Timeline

_AHEAD = 2**26  # bytes of frames that are decoded ahead; guessed
_MOST_AHEAD = 32  # frames; guessed
FLOW_NOTE = "the flow is in pixels of the video at "

Progress = Callable[[float, float | None], None]  # seconds done, of how many (None: unknown)
OnWindow = Callable[[str, Predicted, np.ndarray], None]  # path, result, frames


def shape_of(network: Network, settings: Settings, fps: float) -> Shape:
    """Returns the windows of a video; a short `settings.window` means adjacent parts."""
    card = network.card
    adjacent = window_shape(card.num_frames, card.stride, card.num_segments)
    if settings.window is None:
        return adjacent
    frames = round(settings.window * fps)
    if frames <= adjacent.span:
        return adjacent
    return window_shape(card.num_frames, card.stride, card.num_segments, frames)


class Recognition:
    """Turns the windows of a video into steps.

    Attributes:
        windows: the cutter.
        timeline: mean probabilities per step.
        predictor: the network.
    """

    def __init__(self, network: Network, settings: Settings, fps: float):
        """Takes the average frame rate of the video."""
        shape = shape_of(network, settings, fps)
        self.windows: Windows = Windows(shape, every_seconds=settings.every, period=1 / fps)
        self.timeline: Timeline = Timeline()
        self.predictor: Predictor = Predictor(network, settings.batch_size)

    def steps(self, result: Predicted) -> list[Step]:
        """Takes a result, in order; returns the steps that it completes."""
        self._begin_steps()
        if result.probabilities is None:
            return []
        window = result.window
        return self.timeline.add(window.first, window.last, result.probabilities)

    def last_steps(self, end: float) -> list[Step]:
        """Returns the remaining steps of a video that ends at `end` seconds."""
        self._begin_steps()
        return self.timeline.finish(self.windows.num_frames, end)

    def _begin_steps(self) -> None:
        for frame, time in self.windows.take_grid():
            self.timeline.start(frame, time)


def predict_video(
    source: str,
    name: str,
    folder: Path,
    network: Network,
    settings: Settings,
    *,
    progress: Progress = lambda done, of: None,
    on_window: OnWindow | None = None,
    shown: str | None = None,
) -> VideoResult:
    """Predicts a video file or a folder of pictures and writes all outputs but the `.json`.

    Args:
        source: the file or folder.
        name: stem of the names of the outputs.
        folder: the output folder.
        network: loaded with what the settings need.
        settings: what to write.
        progress: called now and then with the seconds done and the duration.
        on_window: called with each result and the frames that the network saw.
        shown: how the video is called in the outputs; None: as `source`.

    Raises:
        VideoReadError: the video cannot be decoded.
        OSError: an output cannot be written.
    """
    shown = source if shown is None else shown
    film_height = settings.film_height if settings.film else None
    with OutputFiles(folder, name) as outputs:
        with contextlib.ExitStack() as stack:
            frames = stack.enter_context(
                open_frames(
                    source,
                    short_side=network.card.short_side,
                    film_height=film_height,
                    fps=settings.fps,
                )
            )
            one = _OneVideo(shown, outputs, frames, network, settings, stack, on_window)
            ahead = _frames_ahead(frames)
            with contextlib.closing(read_ahead(one.prepared(), ahead)) as prepared:
                for frame, seen in prepared:
                    one.add(frame, seen)
                    if frame.index % 16 == 0:
                        progress(frame.time, frames.duration)
            one.finish(frames.end)
        return one.result()  # after the film and the flow were completed


def _frames_ahead(frames) -> int:
    film = frames.shown.film_size or (0, 0)
    size = 3 * (film[0] * film[1] + frames.shown.size[0] * frames.shown.size[1])
    return max(2, min(_MOST_AHEAD, _AHEAD // size))


class _OneVideo:
    """The state of the prediction of one video."""

    def __init__(self, shown, outputs, frames, network, settings, stack, on_window):
        card = network.card
        self._shown, self._outputs, self._frames = shown, outputs, frames
        self._network, self._settings, self._on_window = network, settings, on_window
        self._recognition = Recognition(network, settings, frames.fps)
        self._input = NetworkInput(card, *frames.shown.size)
        self._finder = SegmentFinder(settings.thresholds_of(card.class_names))
        self._segments: list[Segment] = []
        self._strip, self._thumbnails = Strip(len(card.class_names)), Thumbnails()
        self._notes: list[str] = []
        self._count, self._end = 0, 0.0
        place = FlowPlace(frames.shown.size, self._input.crop, card.flow_starts)
        self._flow_place = place if settings.needs_flow else None
        self._table = self._film = self._features = self._flow_file = None
        if card.class_names:
            self._table = stack.enter_context(
                StepTable(outputs.part("csv", ".csv"), card.class_names, settings.top)
            )
        if settings.features:
            self._features = stack.enter_context(FeatureFile(outputs, card.feature_size))
        if settings.flow != "none":
            self._flow_file = stack.enter_context(FlowFile(outputs, settings.flow, frames.duration))
        if settings.film:
            self._film = stack.enter_context(
                Film(outputs, frames.shown.film_size, card.class_names, frames, settings)
            )

    def prepared(self) -> Iterator[tuple[Frame, np.ndarray]]:
        """Yields each frame and what the network sees of it; runs in the decoding thread."""
        for frame in self._frames:
            yield frame, self._input.frame(frame.image)

    def add(self, frame: Frame, seen: np.ndarray) -> None:
        self._count += 1
        self._thumbnails.add(frame.image if frame.picture is None else frame.picture)
        if self._film is not None:
            self._film.wait(frame)
        if self._flow_file is not None:
            self._flow_file.wait(frame.index, frame.time)
        for window in self._recognition.windows.add(frame.time, seen):
            self._take(self._predict(window))

    def finish(self, end: float) -> None:
        self._end = end
        recognition = self._recognition
        for window in recognition.windows.finish():
            self._take(self._predict(window))
        self._take(recognition.predictor.flush())
        self._write(recognition.last_steps(end))
        if self._flow_place is not None:
            self._write_flows(self._flow_place.rest())
        if self._film is not None:
            self._film.write_rest()
        self._segments += self._finder.finish()
        self._segments.sort(key=lambda s: (s.start, s.label))
        self._make_notes()
        if self._table is not None:
            write_segments(
                self._outputs.part("segments", ".segments.csv"),
                self._shown,
                self._segments,
                self._network.card.class_names,
            )

    def _predict(self, window) -> list[Predicted]:
        frames = self._input.window(window.frames)
        return self._recognition.predictor.add(window, frames)

    def _take(self, results: list[Predicted]) -> None:
        for result in results:
            steps = self._recognition.steps(result)
            if self._flow_place is not None:
                self._write_flows(self._flow_place.add(result))
            self._write(steps)
            if self._film is not None and not self._network.card.class_names:
                self._film.write_before(result.window.first)
            if self._features is not None:
                self._features.add(result)
            if self._on_window is not None:
                frames = self._input.window(result.window.frames)
                self._on_window(self._shown, result, frames)

    def _write(self, steps: list[Step]) -> None:
        for step in steps:
            self._table.add(step)
            self._strip.add(step.start, step.end, step.probabilities)
            self._segments += self._finder.add(step.start, step.end, step.probabilities)
            if self._film is not None:
                self._film.write_step(step)

    def _write_flows(self, flows) -> None:
        for frame, flow in flows:
            if self._film is not None:
                self._film.flow(frame, flow)
            if self._flow_file is not None:
                self._flow_file.add(frame, flow)

    def _make_notes(self) -> None:
        card, windows = self._network.card, self._recognition.windows
        notes = [*self._frames.notes]
        if windows.repeated:
            notes.append(self._short_note(windows.shape))
        wanted = self._settings.window
        if wanted is not None and windows.shape.span > round(wanted * self._frames.fps):
            notes.append(
                f"a window of {wanted:g} s is shorter than {card.num_frames} frames, "
                f"{card.stride} apart, so these are adjacent"
            )
        if self._flow_file is not None:
            height, width = self._frames.shown.size
            crop = self._input.crop
            where = "the whole picture"
            if (crop.height, crop.width) != (height, width):
                where = (
                    f"its columns {crop.left} to {crop.left + crop.width - 1} and rows {crop.top} "
                    f"to {crop.top + crop.height - 1}, which the network sees"
                )
            notes.append(f"{FLOW_NOTE}{width} x {height}, in {where}")
            notes += self._flow_file.notes
        self._notes = notes

    def _short_note(self, shape: Shape) -> str:
        """Returns what is done with a video that is shorter than a window."""
        card, count = self._network.card, self._count
        span = (card.num_frames - 1) * card.stride + 1
        if not shape.adjacent and count >= span:
            return (
                f"it is shorter than --window {self._settings.window:g}, so its one window covers "
                f"all of it ({self._end:.1f} s)"
            )
        verb = "it is" if count == 1 else "they are"
        return (
            f"it has {counted(count, 'frame')}, fewer than the {span} of a window, so {verb} "
            "repeated, as in training"
        )

    def result(self) -> VideoResult:
        """Makes the files appear; returns the result."""
        if self._flow_file is not None:
            self._notes += [n for n in self._flow_file.notes if n not in self._notes]
        thumbnails = self._thumbnails.compute()
        _write_sheet(self._outputs.part("thumbnails", ".jpg"), thumbnails)
        self._outputs.publish()
        files = dict(self._outputs.files)
        if "flow" in files and not (self._outputs.folder / files["flow"]).exists():
            del files["flow"]
            self._notes.append("it has no flow, because no frame follows another one in its window")
        labels, scores = self._strip.compute()
        return VideoResult(
            source=self._shown,
            name=self._outputs.name,
            duration=self._end,
            fps=self._frames.fps,
            num_frames=self._count,
            strip=labels,
            strip_score=scores,
            top=self._strip.top(self._settings.top),
            segments=tuple(self._segments),
            files=files,
            thumbnails=thumbnails,
            notes=tuple(self._notes),
        )


def _write_sheet(path: Path, thumbnails: tuple[np.ndarray, ...]) -> None:
    """Writes the pictures side by side as a JPEG file."""
    sheet = cv2.cvtColor(np.concatenate(thumbnails, axis=1), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    path.write_bytes(data.tobytes())
