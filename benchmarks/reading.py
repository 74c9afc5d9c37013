"""Measures how many clips per second a dataset gives, and what limits it.

    python -m benchmarks.reading                          the built-in data
    python -m benchmarks.reading ROOT [ROOT ...]          folders of videos
    python -m benchmarks.reading ROOT --memory-clips 10000

The loader and bare PyAV (`bare_reader.py`) alternate on the same clips with the same number of
threads, so that other load on the machine affects both alike. Overhead is the median of the ratios
of their times. Timing starts when no batch is ready, so that it measures reading, and each turn is
long enough that warming up again (caches, returned memory) does not count.
"""

import argparse
import dataclasses
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from afn_jax.data.clip_reader import READER_NICENESS, ClipReader
from afn_jax.data.config import DataConfig, reading_threads
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source
from afn_jax.data.sources.video_files import VideoFile
from afn_jax.data.transforms.sampling import clip_indices, random_clip_start
from benchmarks.bare_reader import bare_decode, bare_example

IDLE = 0.8  # guessed: if a smaller share of the cores is busy, reading waits for something


@dataclasses.dataclass(frozen=True)
class Speed:
    """Measurements for one number of threads and workers.

    Attributes:
        clips: clips per second of the loader.
        bare: clips per second of bare PyAV; None if there are no files to decode.
        overhead: time of the loader divided by that of bare PyAV, minus 1; None if `bare` is.
        work: the same for processor time, which other programs disturb less; None also with worker
            processes, whose time is not measured.
        busy: number of cores that the loader keeps busy; None with worker processes.
    """

    clips: float
    bare: float | None
    overhead: float | None
    work: float | None
    busy: float | None


class Draws(ClipReader):
    """A reader that decodes nothing: an example is the video's number and the state of `rng`.

    A loader of it gives the clips that a loader of the `ClipReader` gives, in the same order.
    """

    def training_example(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """`index` and the pickled `rng`."""
        return {"index": np.int64(index), "rng": np.frombuffer(pickle.dumps(rng), np.uint8)}


def measure(
    source: Source, config: DataConfig, batch_size: int, seconds: float, rounds: int
) -> Speed:
    """Times the loader and bare PyAV alternately, for about `seconds` each in every round."""
    num_threads = max(1, reading_threads(config)) * max(1, config.num_workers)
    one_thread = dataclasses.replace(config, num_threads=1, num_workers=0)
    loader, draws = (
        train_iterator(reader, batch_size=batch_size, seed=0)
        for reader in (ClipReader(source, config), Draws(source, one_thread))
    )
    has_files = _has_files(source) and config.teacher == "none"
    indices = [source[i].index for i in range(len(source))] if has_files else []
    ours, bares = [], []  # (seconds, seconds of processor time) per round

    def bare(clip: tuple[int, bytes]) -> None:
        bare_example(source[clip[0]], indices[clip[0]], config, pickle.loads(clip[1]))

    def take_what_is_ready() -> None:
        for _ in range(_held(config)):
            next(loader), next(draws)

    take_what_is_ready()
    batches = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        next(loader), next(draws)
        batches += 1
    with ThreadPoolExecutor(num_threads, initializer=_step_back) as pool:
        for _ in range(rounds):
            take_what_is_ready()
            ours.append(_timed(lambda: _use_up(loader, batches)))
            clips = [clip for _ in range(batches) for clip in _clips(next(draws))]
            if has_files:
                _wait_until_idle(config)
                bares.append(_timed(lambda clips=clips: list(pool.map(bare, clips))))
    times, processor = np.array(ours).T
    clips_per_round = batches * batch_size
    speed = Speed(
        clips=clips_per_round / float(np.median(times)),
        bare=None,
        overhead=None,
        work=None,
        busy=None if config.num_workers else float(np.median(processor / times)),
    )
    if not has_files:
        return speed
    ratios = np.median(np.array(ours) / np.array(bares), axis=0) - 1
    return dataclasses.replace(
        speed,
        bare=clips_per_round / float(np.median(np.array(bares)[:, 0])),
        overhead=float(ratios[0]),
        work=None if config.num_workers else float(ratios[1]),
    )


def stages(source: Source, config: DataConfig, count: int = 24) -> dict[str, float]:
    """Returns seconds per clip of each processing step on one thread, medians over clips."""
    plain = dataclasses.replace(config, teacher="none")
    rng = np.random.default_rng(0)
    videos = [source[int(i)] for i in rng.integers(0, len(source), count)]

    def read(number: int, rng: np.random.Generator) -> None:
        video = videos[number]
        start = random_clip_start(video.num_frames, config.num_frames, config.stride, rng)
        video.clip(clip_indices(start, config.num_frames, config.stride, video.num_frames))

    steps: dict[str, Callable[[int, np.random.Generator], object]] = {}
    if _has_files(source):
        indices = [video.index for video in videos]
        steps["decoding"] = lambda n, rng: bare_decode(videos[n], indices[n], config, rng)
        steps["color and size"] = read
    else:
        steps["rendering"] = read
    steps["crop and flip"] = ClipReader(videos, plain).training_example
    if config.teacher != "none":
        steps[f"flow by {config.teacher}"] = ClipReader(videos, config).training_example
    times = np.empty((count, len(steps)))
    for number in range(-1, count):  # the first one is a warm-up
        for column, step in enumerate(steps.values()):
            started = time.perf_counter()
            step(max(number, 0), np.random.default_rng(max(number, 0)))
            times[number, column] = time.perf_counter() - started
    # Each step includes the previous ones.
    own = np.median(np.diff(times, axis=1, prepend=0), axis=0)
    return dict(zip(steps, np.maximum(own, 0).tolist(), strict=True))


def bound(seconds: dict[str, float], busy: float | None, num_threads: int) -> str:
    """Describes what limits the speed."""
    cores = min(num_threads, os.cpu_count() or 1)
    name = max(seconds, key=seconds.__getitem__)
    what = f"{name}, {seconds[name] / sum(seconds.values()):.0%} of the work"
    if busy is not None and busy < IDLE * cores:
        return f"waiting for the disk, the interpreter or other programs; then {what}"
    return what


def memory_in_use() -> float | None:
    """Returns the resident memory of this process in MiB; None if the system lacks /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_over(source: Source, config: DataConfig, batch_size: int, clips: int) -> list[tuple]:
    """Returns (clips read, MiB in use) after every tenth of `clips`."""
    loader = train_iterator(ClipReader(source, config), batch_size=batch_size, seed=0)
    found = []
    for tenth in range(1, 11):
        for _ in range(max(1, clips // 10 // batch_size)):
            next(loader)
        found.append((max(1, clips // 10 // batch_size) * batch_size * tenth, memory_in_use()))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in ("seconds", "rounds", "batch_size", "num_frames"):
        if getattr(options, name) <= 0:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option}: got {getattr(options, name)}; give more than 0")
    config = DataConfig(
        source=options.source or ("video-folder" if options.root else "synthetic-motion"),
        num_frames=options.num_frames,
        stride=options.stride,
        size=tuple(options.size),
        short_side=options.short_side,
        teacher=options.teacher,
        flip=bool(options.root),
    )
    print("  clips/s bare PyAV overhead  in work cores busy  threads x workers: limited by")
    try:
        for root in options.root or [""]:
            config = dataclasses.replace(config, root=root)
            source = create_source(config, "train", 0)
            print(f"{config.source} {root}: {len(source)} videos", flush=True)
            _report(source, config, options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _report(source: Source, config: DataConfig, options: argparse.Namespace) -> None:
    seconds = stages(source, config)
    for workers in options.workers:
        for threads in options.threads:
            settings = dataclasses.replace(config, num_threads=threads, num_workers=workers)
            speed = measure(source, settings, options.batch_size, options.seconds, options.rounds)
            number = threads * max(1, workers)
            print(
                f"{speed.clips:9.1f} {_or_dash(speed.bare, '.1f'):>9} "
                f"{_or_dash(speed.overhead, '+.1%'):>8} {_or_dash(speed.work, '+.1%'):>8} "
                f"{_or_dash(speed.busy, '.2f'):>10}  "
                f"{threads} x {workers}: {bound(seconds, speed.busy, number)}",
                flush=True,
            )
    each = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())
    print(f"  a clip of {config.num_frames} frames on one thread: {each}")
    if options.memory_clips:
        for clips, used in memory_over(source, config, options.batch_size, options.memory_clips):
            print(f"  {clips:7d} clips read: {_or_dash(used, '.0f')} MiB in use", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reading", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("root", nargs="*", help="folders of videos; default: the built-in data")
    add("--source", help="dataset; default with a ROOT: video-folder")
    add("--threads", nargs="+", type=int, default=[1, 2], help="threads per process to try")
    add("--workers", nargs="+", type=int, default=[0], help="worker processes to try; 0: none")
    add("--num-frames", type=int, default=16, help="frames per clip")
    add("--stride", type=int, default=1, help="distance between frames of a clip")
    add("--size", nargs=2, type=int, default=[112, 112], help="height and width of clips")
    add("--short-side", type=int, default=128, help="short side of decoded frames")
    add("--teacher", default="none", help="dis or tvl1: also estimate flow")
    add("--batch-size", type=int, default=8, help="clips per batch")
    add("--seconds", type=float, default=1.5, help="approximate duration of a turn")
    add("--rounds", type=int, default=7, help="number of rounds; results are medians")
    add("--memory-clips", type=int, default=0, help="read this many clips and print memory use")
    return parser


def _clips(batch: dict[str, np.ndarray]) -> list[tuple[int, bytes]]:
    return [(int(i), rng.tobytes()) for i, rng in zip(batch["index"], batch["rng"], strict=True)]


def _use_up(loader: Iterator, batches: int) -> None:
    """Takes a number of batches and keeps none, so that memory is reused as in training."""
    for _ in range(batches):
        next(loader)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Returns the seconds and the seconds of processor time that `work` takes."""
    started, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - processor


def _has_files(source: Source) -> bool:
    return isinstance(source[0], VideoFile)


def _held(config: DataConfig) -> int:
    """Returns the number of batches that are read ahead; each worker holds its own."""
    threads = reading_threads(config)
    each = max(config.prefetch, threads, 1) + max(1, threads)
    return each if not config.num_workers else config.num_workers * (each + 2)


def _step_back() -> None:
    """Sets the priority of the loader's threads."""
    if sys.platform == "linux":
        os.nice(READER_NICENESS)


def _wait_until_idle(config: DataConfig) -> None:
    """Waits until the loader has filled its buffer."""
    if config.num_workers:  # their processor time is not visible here
        time.sleep(2.0)
    used = -1.0
    while time.process_time() - used > 0.01:
        used = time.process_time()
        time.sleep(0.1)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


if __name__ == "__main__":
    sys.exit(main())
