"""Measures whether memory stays flat while many clips of mixed codecs are read.

    python -m benchmarks.reliability_memory --clips 20000

Makes a folder of tiny videos in twelve pairs of codec and container, one of them damaged, and reads
training clips of them at random: once with threads of the main process, once with two reading
processes. After every twentieth of the clips, RSS and PSS of the main process and its workers are
read from /proc (Linux only). PSS divides shared pages among the processes that share them, so its
sum is the memory in use; it changes with other programs that use the same libraries. The slope is
that of a straight line through RSS in the second half.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source
from benchmarks.mixed_videos import make_videos

BATCH = 20
SAMPLES = 20


@dataclasses.dataclass(frozen=True)
class Sample:
    """Memory after a number of clips, in MiB: RSS and PSS of the main process and its workers."""

    clips: int
    main_rss: float
    workers_rss: float
    main_pss: float
    workers_pss: float

    @property
    def total(self) -> float:
        """PSS of all processes."""
        return self.main_pss + self.workers_pss

    @property
    def rss(self) -> float:
        """RSS of all processes."""
        return self.main_rss + self.workers_rss


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=20_000, help="clips to read, each time")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="reading processes")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="afn_jax-memory-") as folder:
        make_videos(Path(folder) / "videos", 72, num_frames=24)
        for workers in options.workers:
            config = DataConfig(
                source="video-folder",
                root=str(Path(folder) / "videos"),
                index_cache="none",
                num_frames=8,
                short_side=32,
                size=(24, 24),
                teacher="none",
                num_workers=workers,
                num_threads=2,
            )
            _report(workers, create_source(config, "train", 0), config, options.clips)
    return 0


def measure(source: Source, config: DataConfig, clips: int) -> Iterator[Sample]:
    """Reads clips and samples memory `SAMPLES` times."""
    batches = train_iterator(ClipReader(source, config), batch_size=BATCH, seed=0)
    for number in range(1, clips // BATCH + 1):
        next(batches)
        if number % max(1, clips // BATCH // SAMPLES) == 0:
            yield sample(number * BATCH)
    batches.close()


def sample(clips: int) -> Sample:
    """Reads the memory of this process and of its children."""
    main_rss, main_pss = memory_of("self")
    workers = [memory_of(child) for child in children()]
    rss, pss = (sum(values) for values in zip(*workers, strict=True)) if workers else (0.0, 0.0)
    return Sample(clips, main_rss, rss, main_pss, pss)


def children() -> list[str]:
    """Returns the numbers of the child processes of this process."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [number for task in tasks for number in task.read_text().split()]


def memory_of(process: str) -> tuple[float, float]:
    """Returns RSS and PSS of a process in MiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    values = {
        name: int(value.split()[0]) / 1024 for name, _, value in (x.partition(":") for x in lines)
    }
    return values["Rss"], values["Pss"]


def slope(samples: list[Sample]) -> float:
    """Returns the growth of all RSS in MiB per 1000 clips over the second half."""
    half = samples[len(samples) // 2 :]
    clips, totals = np.array([(s.clips / 1000, s.rss) for s in half]).T
    return float(np.polyfit(clips, totals, 1)[0])


def _report(workers: int, source: Source, config: DataConfig, clips: int) -> None:
    how = f"{workers} reading processes" if workers else "threads of the main process"
    print(f"{how}, {clips} clips (MiB)")
    print("   clips  main RSS  workers RSS  main PSS  workers PSS  all PSS  seconds")
    started, samples = time.perf_counter(), []
    for s in measure(source, config, clips):
        samples.append(s)
        print(
            f"{s.clips:8d} {s.main_rss:9.1f} {s.workers_rss:12.1f} {s.main_pss:9.1f} "
            f"{s.workers_pss:12.1f} {s.total:8.1f} {time.perf_counter() - started:8.0f}",
            flush=True,
        )
    print(f"slope over the second half: {slope(samples):+.3f} MiB per 1000 clips", flush=True)


if __name__ == "__main__":
    sys.exit(main())
