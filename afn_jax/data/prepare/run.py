"""A run of the preparation: chooses the shards to make and the processes that make them.

Shards are made in parallel, each under a temporary name until it is complete. A run can therefore
be killed at any time, and the next one makes what is missing. Several runs, on one or more
machines, can share the work.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2

from afn_jax.data.prepare.progress import Update, show_progress
from afn_jax.data.prepare.pseudo_labels import FlowFiles, create_flow_origin
from afn_jax.data.prepare.shard_maker import FlowError, ShardJob, ShardMaker, run_job, start_worker
from afn_jax.data.shards.manifest import PreparedDataset, claim_folder, missing_shards
from afn_jax.data.shards.record import PART, read_index, shard_name
from afn_jax.data.source import Skipped, Source

_POLL = 0.5  # seconds between two progress updates


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """Contents of the existing shards of one split.

    Attributes:
        videos: number of stored videos.
        frames: number of stored frames.
        size: total size of the shards, in bytes.
        missing: names of the shards that do not exist yet.
        skipped: files that could not be read.
        flow_error: error of the stored flow.
    """

    videos: int
    frames: int
    size: int
    missing: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    flow_error: FlowError


def prepare(
    folder: str | Path,
    dataset: PreparedDataset,
    sources: dict[str, Source],
    *,
    part: tuple[int, int] = (1, 1),
    workers: int | None = None,
) -> dict[str, SplitReport]:
    """Makes the shards of a dataset that do not exist yet.

    Args:
        folder: folder for the shards: new, empty, or started with the same settings.
        dataset: description of the dataset.
        sources: the source of each split, by name.
        part: (i, n), i from 1: this is the i-th of n runs that share the work.
        workers: number of processes; None: one per core; 1: no additional process.

    Returns:
        A report on each split, including the shards of other parts and earlier runs.

    Raises:
        ValueError: the flow or the folder does not fit, or no video of a split can be read.
        OSError: a shard cannot be written.
        RuntimeError: another run is working on the same part, or a worker process was killed.
    """
    folder = Path(folder)
    _check_flow(dataset, sources)
    claim_folder(folder, dataset)
    with _alone(folder, part):
        jobs = _jobs(folder, dataset, part)
        total = sum(sources[job.split][i].num_frames for job in jobs for i in job.videos)
        with show_progress(total, len(jobs)) as update:
            workers = min(workers or _num_cores(), len(jobs))
            if workers > 1:
                _make_in_processes(dataset, sources, jobs, workers, update)
            elif jobs:
                _make_here(dataset, sources, jobs, update)
    reports = {name: _report(folder, dataset, name) for name in dataset.splits}
    for name, split in reports.items():
        if not split.videos and not split.missing:
            why = "; ".join(f"{skip.path}: {skip.reason}" for skip in split.skipped[:3])
            raise ValueError(f"source: none of the {name} videos can be decoded ({why})")
    return reports


def _num_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_flow(dataset: PreparedDataset, sources: dict[str, Source]) -> None:
    """Raises ValueError for a wrong `--flow` before the work starts."""
    if dataset.flow is None:
        return
    origin = create_flow_origin(dataset.flow.origin, dataset.flow.stride)
    for name, source in sources.items():
        video = source[0]
        if dataset.flow.origin == "own" and not video.has_flow:
            raise ValueError("flow: got own, but the videos of this source have no flow; use dis")
        if isinstance(origin, FlowFiles):
            path = origin.path(video.name, 0)
            if not path.is_file():
                raise ValueError(
                    f"flow: there is no file {str(path)!r}, which the pattern "
                    f"{dataset.flow.origin!r} gives for the first {name} video"
                )


def _jobs(folder: Path, dataset: PreparedDataset, part: tuple[int, int]) -> list[ShardJob]:
    """Returns the missing shards of this part; removes unfinished files of killed runs."""
    i, n = part
    jobs = []
    for name, split in dataset.splits.items():
        missing = set(missing_shards(folder, name, split))
        for number in range(i - 1, split.num_shards, n):
            shard = shard_name(name, number, split.num_shards)
            for remains in folder.glob(f"{shard}.{i}-of-{n}.*{PART}"):
                remains.unlink(missing_ok=True)
            if shard in missing:
                videos = tuple(range(number, split.num_videos, split.num_shards))
                jobs.append(ShardJob(folder / shard, name, videos, f"{i}-of-{n}"))
    return jobs


@contextlib.contextmanager
def _alone(folder: Path, part: tuple[int, int]) -> Iterator[None]:
    """Holds a lock against a second run of the same part, until the process ends.

    It only prevents doing work twice: the shards would be correct without it.
    """
    name = folder / f".part-{part[0]}-of-{part[1]}.lock"
    with open(name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"another run is preparing part {part[0]}/{part[1]} of {str(folder)!r}; wait for "
                "it, or share the work with --shard i/n"
            ) from None
        except OSError as error:  # a file system without locks
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise
        yield


def _make_here(
    dataset: PreparedDataset, sources: dict[str, Source], jobs: Sequence[ShardJob], update: Update
) -> None:
    maker, frames = ShardMaker(dataset, sources), 0
    # One thread, as in a worker: OpenCV's DIS depends slightly on the number of threads.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for done, job in enumerate(jobs):

            def tick(count: int, done: int = done) -> None:
                nonlocal frames
                frames += count
                update(frames, done)

            maker.make(job, tick)
        update(frames, len(jobs))
    finally:
        cv2.setNumThreads(threads)


def _make_in_processes(
    dataset: PreparedDataset,
    sources: dict[str, Source],
    jobs: Sequence[ShardJob],
    workers: int,
    update: Update,
) -> None:
    # Spawned, not forked: the threads of the decoder and of JAX do not survive a fork.
    context = multiprocessing.get_context("spawn")
    frames = context.Value("q", 0)
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, start_worker, (dataset, sources, frames)
    )
    try:
        left = {pool.submit(run_job, job) for job in jobs}
        while left:
            done, left = concurrent.futures.wait(left, _POLL, concurrent.futures.FIRST_EXCEPTION)
            for job in done:
                job.result()
            update(frames.value, len(jobs) - len(left))
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process was killed, perhaps because memory ran out; run the same command "
            "with fewer --workers to continue from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _report(folder: Path, dataset: PreparedDataset, name: str) -> SplitReport:
    split = dataset.splits[name]
    missing = missing_shards(folder, name, split)
    videos = frames = size = 0
    skipped, error = list(split.skipped), FlowError()
    for number in range(split.num_shards):
        path = folder / shard_name(name, number, split.num_shards)
        if path.name in missing:
            continue
        index = read_index(path)
        videos += len(index["videos"])
        frames += sum(video["num_frames"] for video in index["videos"])
        size += path.stat().st_size
        skipped += [Skipped(**skip) for skip in index["skipped"]]
        error += FlowError(**index["flow_error"])
    return SplitReport(videos, frames, size, tuple(missing), tuple(skipped), error)
