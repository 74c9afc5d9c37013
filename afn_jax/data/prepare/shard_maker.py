"""Making of a single shard, the work of each worker process.

A shard is a pure function of the source and the settings.
"""

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from afn_jax.data.prepare.pseudo_labels import create_flow_origin
from afn_jax.data.reachable import check_readable
from afn_jax.data.shards.flow_codec import decode_flow, encode_flow
from afn_jax.data.shards.frame_codec import encode_frames
from afn_jax.data.shards.manifest import PreparedDataset
from afn_jax.data.shards.record import ShardWriter
from afn_jax.data.source import Skipped, Source, Video, VideoReadError

# Frames in memory at a time: 125 MB with flow at 256 x 340. Files without an index of keyframes are
# decoded from their start for each piece.
_PIECE = 128


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to make.

    Attributes:
        path: the file.
        split: name of the split.
        videos: numbers of the videos in the source.
        part: the run that makes it; part of the name of the unfinished file.
    """

    path: Path
    split: str
    videos: tuple[int, ...]
    part: str


@dataclasses.dataclass(frozen=True)
class FlowError:
    """Error of stored flow relative to the original float flow.

    Attributes:
        total: sum of the endpoint errors in px over the `known` pixels.
        known: number of pixels whose flow is stored.
        beyond: number of pixels whose known flow exceeds the bound.
    """

    total: float = 0.0
    known: int = 0
    beyond: int = 0

    def __add__(self, other: "FlowError") -> "FlowError":
        return FlowError(
            self.total + other.total, self.known + other.known, self.beyond + other.beyond
        )


def measure_flow_error(flow: np.ndarray, known: np.ndarray | None, data: bytes) -> FlowError:
    """Compares encoded `data` with the original flow `[H, W, 2]` and mask `[H, W]`."""
    stored, stored_known = decode_flow(data, flow.shape[:2])
    error = np.linalg.norm(stored - flow, axis=-1)[stored_known]
    beyond = ~stored_known if known is None else known & ~stored_known
    return FlowError(float(error.sum(dtype=np.float64)), error.size, int(beyond.sum()))


class ShardMaker:
    """Makes shards of a dataset from its sources."""

    def __init__(self, dataset: PreparedDataset, sources: dict[str, Source]):
        self._dataset = dataset
        self._sources = sources
        flow = dataset.flow
        self._origin = None if flow is None else create_flow_origin(flow.origin, flow.stride)

    def make(self, job: ShardJob, tick: Callable[[int], None]) -> None:
        """Makes one shard; calls `tick` after each video with its number of frames.

        Raises:
            OSError: the shard cannot be written, or a video can no longer be read from its disk. A
                damaged video is left out, but a shard lacks none because a disk was away.
        """
        videos: list[dict[str, Any]] = []
        skipped: list[Skipped] = []
        error = FlowError()
        with ShardWriter(job.path, job.part) as writer:
            for place in job.videos:
                video = self._sources[job.split][place]
                record = writer.num_records
                try:
                    size, video_error = self._write_video(writer, video)
                except VideoReadError as problem:
                    check_readable(video)
                    # Its first groups may be in the shard already, but not in the index.
                    skipped.append(Skipped(video.name, str(problem)))
                    continue
                finally:
                    tick(video.num_frames)
                error += video_error
                videos.append(
                    {
                        "record": record,
                        "place": place,
                        "name": video.name,
                        "label": int(video.label),
                        "num_frames": int(video.num_frames),
                        "fps": video.fps,
                        "size": size,
                    }
                )
            index = {"videos": videos, "skipped": [dataclasses.asdict(skip) for skip in skipped]}
            writer.finish(index | {"flow_error": dataclasses.asdict(error)})

    def _write_video(self, writer: ShardWriter, video: Video) -> tuple[tuple[int, int], FlowError]:
        """Writes a video; returns (height, width) of its frames and the error of its flow."""
        form = self._dataset.frames
        piece = form.group * max(1, _PIECE // form.group)
        ahead = self._origin.lookahead if self._origin else 0
        flow_form = self._dataset.flow and self._dataset.flow.form
        size, error = None, FlowError()
        for start in range(0, video.num_frames, piece):
            stop = min(start + piece, video.num_frames)
            clip = video.clip(np.arange(start, min(stop + ahead, video.num_frames)))
            size = size or clip.frames.shape[1:3]
            flows = self._origin(video, clip, start, stop) if self._origin else []
            for first in range(0, stop - start, form.group):
                last = min(first + form.group, stop - start)
                parts = encode_frames(clip.frames[first:last], form)
                for pair in flows[first:last]:
                    parts.append(b"" if pair is None else encode_flow(*pair, flow_form))
                    if pair is not None:
                        error += measure_flow_error(*pair, parts[-1])
                writer.add(parts)
        return size, error


_maker: ShardMaker | None = None
_frames_done: Any = None


def start_worker(dataset: PreparedDataset, sources: dict[str, Source], frames_done: Any) -> None:
    """Initializes a worker process; `frames_done` is a counter shared by all workers."""
    global _maker, _frames_done
    # Ctrl-C reaches all processes: workers end silently, and the parent prints the message.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # ignored in background jobs
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # there is one process per core
    # If the teacher uses a GPU, all processes share it, so none may reserve all of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    _maker, _frames_done = ShardMaker(dataset, sources), frames_done


def run_job(job: ShardJob) -> None:
    """Makes a shard in a worker process."""
    _maker.make(job, _count)


def _count(frames: int) -> None:
    with _frames_done.get_lock():
        _frames_done.value += frames


def _end_with_parent() -> None:
    """Ends this process when its parent has ended or was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)
