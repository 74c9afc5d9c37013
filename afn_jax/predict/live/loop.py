"""Predicts a live source while it plays: lines of JSON, and a window on a screen.

Windows, batches and numbers are those of a file (`engine.py`). One thread reads frames and cuts
windows; if the network is slower than the source, whole windows are dropped, the oldest first.
"""

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from afn_jax.data.source import VideoReadError
from afn_jax.export.network import Network
from afn_jax.near_names import counted
from afn_jax.predict.engine import shape_of
from afn_jax.predict.frames.network_input import NetworkInput
from afn_jax.predict.frames.stream import Frame
from afn_jax.predict.frames.windows import Window, Windows
from afn_jax.predict.live.screen import Screen, open_screen
from afn_jax.predict.live.source import LiveFrames, LiveSource, open_live
from afn_jax.predict.predictor import Predicted, Predictor
from afn_jax.predict.segments import Segment, SegmentFinder
from afn_jax.predict.settings import Settings, check_network
from afn_jax.predict.timeline import Step, Timeline

_WAITING = 2  # windows that wait for the network; guessed: more would be late
STALLED_S = 10.0  # guessed: a camera or stream that gives no frame for as long has stopped
_POLL_S = 0.05  # between looks at the screen's keys
_JOIN_S = 1.0  # guessed: a frame takes less to read
_INTERRUPTED = 130


@dataclasses.dataclass
class _Item:
    """A complete window, with the starts of steps since the item before it."""

    window: Window
    grid: list[tuple[int, float]]
    arrived: float


class Reader(threading.Thread):
    """Reads the source and cuts windows, so that no frame waits for the network.

    Attributes:
        dropped: windows that were dropped: (first, last) frame, since `take` was last called.
        num_dropped: how many in all.
        error: what ended the reading, if it was an error.
        latest: the newest frame, for the screen.
        last_frame: when it arrived, by `time.monotonic`.
        ended: set at the end of the source.
    """

    def __init__(
        self, frames: Iterable[Frame], seen: NetworkInput, windows: Windows, *, drop: bool
    ):
        super().__init__(name="live source", daemon=True)
        self._frames, self._seen, self._windows, self._drop = frames, seen, windows, drop
        self._items: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self.dropped: list[tuple[int, int]] = []
        self.num_dropped: int = 0
        self.error: Exception | None = None
        self.latest: np.ndarray | None = None
        self.last_frame: float = time.monotonic()
        self.ended: threading.Event = threading.Event()

    def run(self) -> None:
        try:
            for frame in self._frames:
                self.latest, self.last_frame = frame.image, time.monotonic()
                self._put(self._windows.add(frame.time, self._seen.frame(frame.image)))
                if self._stopping:
                    return
            self._put(self._windows.finish())
        except Exception as error:  # told by the main thread
            self.error = error
        finally:
            with self._changed:
                self.ended.set()
                self._changed.notify_all()

    def _put(self, windows: list[Window]) -> None:
        for window in windows:
            item = _Item(window, self._windows.take_grid(), self.last_frame)
            with self._changed:
                while len(self._items) >= _WAITING and not self._stopping:
                    if self._drop:
                        self._drop_oldest(item)
                    else:
                        self._changed.wait(_POLL_S)
                self._items.append(item)
                self._changed.notify_all()

    def _drop_oldest(self, newest: _Item) -> None:
        old = self._items.popleft()
        self.dropped.append((old.window.first, old.window.last))
        self.num_dropped += 1
        following = self._items[0] if self._items else newest
        following.grid = old.grid + following.grid

    def take(self, timeout: float) -> tuple[_Item, list[tuple[int, int]]] | None:
        """Returns the next window and the windows dropped before it; None if there is none yet."""
        with self._changed:
            if not self._items and not self.ended.is_set():
                self._changed.wait(timeout)
            if not self._items:
                return None
            dropped, self.dropped = self.dropped, []
            self._changed.notify_all()
            return self._items.popleft(), dropped

    def stop(self) -> None:
        """Asks the thread to end after the current frame."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()


@dataclasses.dataclass(frozen=True)
class LiveOptions:
    """How a live source is shown.

    Attributes:
        show: open a window on the screen.
        emit: writes a line; None: to standard output.
        tell: tells a person something; None: on standard error.
        leave: ends the process with an exit code if the source does not return from a read: a
            decoder that is closed while it reads crashes.
    """

    show: bool = False
    emit: Callable[[dict[str, Any]], None] | None = None
    tell: Callable[[str], None] | None = None
    leave: Callable[[int], None] = os._exit


def predict_live(
    network: Network, source: LiveSource, settings: Settings, options: LiveOptions
) -> int:
    """Predicts a live source until it ends, or until Ctrl-C.

    Prints one line of JSON per window and per segment, and a summary, also if the source does not
    open.

    Returns:
        The exit code: 0 if the source came to its end, 1 if it cannot be opened or stopped giving
        frames, 130 after Ctrl-C.

    Raises:
        ValueError: the network does not classify, or the settings do not fit it.
        OSError: a line cannot be written, such as BrokenPipeError if nobody reads it any more.
    """
    card = network.card
    check_network(settings, card, network.name)
    if not card.class_names:
        raise ValueError(f"model: {network.name} does not classify, so there is nothing to tell.")
    tell, emit = options.tell or _tell, options.emit or _print_line
    try:
        with contextlib.ExitStack() as stack:
            frames = stack.enter_context(open_live(source, card.short_side))
            screen = stack.enter_context(open_screen(str(source), tell)) if options.show else None
            return run_live(network, source, frames, settings, options, screen)
    except VideoReadError as error:
        tell(f"error: {error}")
        emit(_summary(str(error)))
        return 1
    except KeyboardInterrupt:
        tell(f"{source}: interrupted before the first window")
        with contextlib.suppress(BrokenPipeError):  # Ctrl-C ended its reader too
            emit(_summary("interrupted"))
        return _INTERRUPTED


def run_live(
    network: Network,
    source: LiveSource,
    frames: LiveFrames,
    settings: Settings,
    options: LiveOptions,
    screen: Screen | None = None,
) -> int:
    """Predicts the frames of an open source; see `predict_live`."""
    live = _Live(network, frames, settings, options)
    seen = NetworkInput(network.card, *frames.shown.size)
    windows = Windows(live.shape, every_seconds=settings.every, period=1 / frames.fps)
    # Compiling takes seconds, in which windows would be dropped.
    np.asarray(network(np.zeros((settings.batch_size, *_shape(network)), np.uint8)).logits)
    reader = Reader(frames, seen, windows, drop=source.drop)
    ended, code = "the source ended", 0
    reader.start()
    try:
        while True:
            taken = reader.take(_POLL_S)
            if taken is not None:
                live.predict(*taken, seen, reader.num_dropped)
            elif reader.ended.is_set():
                break
            elif source.kind in ("camera", "url") and _silent(reader) > STALLED_S:
                ended, code = f"no frame for {STALLED_S:g} s", 1
                break
            if screen is not None and not screen.show(reader.latest, live.label):
                ended = "the window was closed"
                break
    except KeyboardInterrupt:
        ended, code = "interrupted", _INTERRUPTED
    except BaseException as error:
        reader.stop()
        reader.join(_JOIN_S)
        if reader.is_alive():
            if not isinstance(error, BrokenPipeError):
                (options.tell or _tell)(f"error: {error}")
            options.leave(1)
        raise
    reader.stop()
    whole = reader.ended.is_set()
    reader.join(_JOIN_S)
    if reader.error is not None:
        ended, code = str(reader.error), 1
    elif source.kind == "camera" and whole:
        ended, code = "the camera stopped; is it unplugged?", 1
    try:
        if not reader.is_alive():
            live.finish(windows.num_frames, frames.end)
        live.summarize(str(source), ended, windows.num_frames, reader.num_dropped)
    except BrokenPipeError:
        if code != _INTERRUPTED:  # Ctrl-C ended its reader too
            code = code or 1
            if not reader.is_alive():
                raise
    if reader.is_alive():
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        options.leave(code)
    return code


def _silent(reader: Reader) -> float:
    return time.monotonic() - reader.last_frame


def _shape(network: Network) -> tuple[int, ...]:
    return (network.card.num_frames, *network.card.size, 3)


class _Live:
    """What is known of a live source so far, and its lines."""

    def __init__(self, network: Network, frames, settings: Settings, options: LiveOptions):
        self._names, self._top = network.card.class_names, settings.top
        self._emit = options.emit or _print_line
        self._tell = options.tell or _tell
        self.shape = shape_of(network, settings, frames.fps)
        self._predictor = Predictor(network, settings.batch_size)
        self._timeline = Timeline()
        self._finder = SegmentFinder(settings.thresholds_of(self._names))
        self._latencies: deque[float] = deque(maxlen=1000)
        self._covered = 0  # frames before this one are in a window that was predicted
        self._dropped_frames = self._windows = self._segments = 0
        self._told = 0
        self.label = ""

    def predict(self, item: _Item, dropped, seen: NetworkInput, num_dropped: int) -> None:
        """Predicts a window and writes its lines."""
        window = item.window
        for frame, start in item.grid:
            self._timeline.start(frame, start)
        for first, last in dropped:
            lost = min(last, window.first - 1) - max(first, self._covered) + 1
            if lost > 0:
                self._dropped_frames += lost
                self._covered = min(last, window.first - 1) + 1
        self._covered = max(self._covered, window.last + 1)
        ready = self._predictor.add(window, seen.window(window.frames))
        for result in ready + self._predictor.flush():
            self._line(result, item.arrived, num_dropped)
            steps = self._timeline.add(window.first, window.last, result.probabilities)
            self._write_segments(steps)
        if num_dropped > self._told:
            if not self._told:
                self._tell("the network is slower than the source: windows are dropped")
            self._told = num_dropped

    def _line(self, result: Predicted, arrived: float, num_dropped: int) -> None:
        latency = 1000 * (time.monotonic() - arrived)
        self._latencies.append(latency)
        self._windows += 1
        order = np.argsort(-result.probabilities, kind="stable")[: self._top]
        best = order[0]
        self.label = f"{self._names[best]} {100 * result.probabilities[best]:.0f} %"
        self._emit(
            {
                "event": "window",
                "window": result.window.number,
                "start": round(result.window.start, 6),
                "time": round(result.window.end, 6),
                "top": [
                    {"class": self._names[k], "probability": float(result.probabilities[k])}
                    for k in order
                ],
                "latency_ms": round(latency, 1),
                "dropped_windows": num_dropped,
                "dropped_frames": self._dropped_frames,
            }
        )

    def _write_segments(self, steps: list[Step]) -> None:
        for step in steps:
            self._told_segments(self._finder.add(step.start, step.end, step.probabilities))

    def _told_segments(self, segments: list[Segment]) -> None:
        for segment in segments:
            self._segments += 1
            self._emit(
                {
                    "event": "segment",
                    "class": self._names[segment.label],
                    "start": round(segment.start, 6),
                    "end": round(segment.end, 6),
                    "score": segment.score,
                }
            )

    def finish(self, num_frames: int, end: float) -> None:
        """Ends the last segments with the source."""
        self._write_segments(self._timeline.finish(num_frames, end))
        self._told_segments(self._finder.finish())

    def summarize(self, source: str, ended: str, num_frames: int, num_dropped: int) -> None:
        """Writes the summary."""
        latencies = sorted(self._latencies) or [0.0]
        self._emit(
            _summary(
                ended,
                frames=num_frames,
                windows=self._windows,
                segments=self._segments,
                dropped_windows=num_dropped,
                dropped_frames=self._dropped_frames,
                latency_ms_median=round(latencies[len(latencies) // 2], 1),
                latency_ms_most=round(latencies[-1], 1),
            )
        )
        self._tell(
            f"{source}: {ended} after {counted(num_frames, 'frame')}; "
            f"{counted(self._windows, 'window')}, {num_dropped} dropped"
        )


def _summary(ended: str, **numbers: float) -> dict[str, Any]:
    """Returns the last line; what is not given is 0."""
    return {"event": "summary", "ended": ended} | dict.fromkeys(_NUMBERS, 0) | numbers


_NUMBERS = (
    "frames",
    "windows",
    "segments",
    "dropped_windows",
    "dropped_frames",
    "latency_ms_median",
    "latency_ms_most",
)


def _print_line(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
