"""Batches for training and evaluation.

Built on Grain. Element i of a run is a pure function of (seed, i), so a run resumes with the very
next example, and a run on several processes sees the same batches, divided among them. The numbers
of reading threads and worker processes affect only the speed.

A batch is a dict of arrays with the fields of `afn_jax.types.Batch` and `indices`, the `[batch]`
numbers of the videos in the source. Frames stay `uint8`.
"""

import contextlib
import dataclasses
import functools
import gc
import json
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Self

import grain
import numpy as np
from absl import flags

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import reading_threads
from afn_jax.data.files.free_memory import share_memory_between_threads
from afn_jax.data.source import Skipped
from afn_jax.data.teacher import ON_DEVICE
from afn_jax.data.transforms.views import MIDDLE_CLIP, Views

Arrays = dict[str, np.ndarray]

# Grain's shuffle is slow for few elements: 30 ms per epoch, whatever their number. Guessed limit.
FEW = 500

# Bytes from which an array of a reading process comes through shared memory. A smaller one is sent
# through the pipe: it needs no block of its own, whose deletion at the end is a matter of luck.
SHARED_FROM = 2**16


def train_iterator(
    reader: ClipReader,
    *,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> "TrainIterator":
    """Returns endless shuffled batches for one process.

    Every epoch shows every video once, on one of the processes. Epochs follow one another without a
    gap, so that a batch can contain the end of one and the start of the next; neither the batch
    size nor the number of processes has to divide the number of videos. The batches of all
    processes at one position, joined in the order of the processes, are the batch that a single
    process would get at that position. So a run can be resumed with another number of processes.

    Args:
        reader: reads the examples.
        batch_size: examples per batch of this process.
        seed: of the order of the videos, their clips and crops.
        process_index: number of this process, from 0.
        process_count: number of processes that share the videos.

    Raises:
        ValueError: `batch_size` is below 1, or there is no process of that number.
    """
    _check_share(batch_size, process_index, process_count)
    dataset = (
        _shuffled(len(reader.source), seed)
        # Before the examples are divided among processes: draws belong to the example.
        .random_map(reader.training_example)
        # Epochs are repeated before the division too. Shares that repeat on their own would drift
        # apart if the number of processes does not divide the number of videos.
        .repeat()
        # A process gets adjacent examples, so each device sees those that it would see if all
        # devices belonged to one process.
        .batch(batch_size, drop_remainder=True, batch_fn=_stack)
        .slice(slice(process_index, None, process_count))
    )
    return TrainIterator(dataset, reader)


def _shuffled(num_videos: int, seed: int) -> grain.MapDataset:
    """Returns the numbers of the videos, in a different order in each epoch."""
    if num_videos >= FEW:
        return grain.MapDataset.range(num_videos).seed(seed).shuffle()
    # The orders repeat after 1000 epochs, but with different clips.
    epochs = (np.random.default_rng([seed, epoch]) for epoch in range(1000))
    orders = np.concatenate([rng.permutation(num_videos) for rng in epochs])
    return grain.MapDataset.source(orders).seed(seed).map(int)


class TrainIterator(Iterator[Arrays]):
    """Iterator over batches that are read ahead. Its state is its position alone."""

    def __init__(self, dataset: grain.MapDataset, reader: ClipReader):
        self._dataset = dataset
        self._reader = reader
        self._next = 0
        self._batches: grain.DatasetIterator | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrays:
        if self._batches is None:
            rest = self._dataset.slice(slice(self._next, None))
            self._batches = _read_ahead(rest, self._reader, self._reader.config.num_workers)
        with _explaining_dead_workers():
            batch = next(self._batches)
        self._next += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """Returns the position: the number of batches returned so far."""
        return {"next_index": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues from a position that `get_state` returned."""
        self.close()
        self._next = int(state["next_index"])

    def close(self) -> None:
        """Ends reading ahead, and the reading processes with their shared memory."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None
            _wait_for_deletions()


def evaluation_batches(
    reader: ClipReader,
    *,
    batch_size: int,
    views: Views = MIDDLE_CLIP,
    most: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Arrays]:
    """Returns each view of each video once, in order; the last batch is padded.

    All crops of a clip are in the same batch: with ten crops, the batch size is rounded down to a
    multiple of ten (at least ten). A video is decoded once for all of its clips in a batch. Padding
    repeats the last example with mask False.

    Args:
        reader: reads the examples.
        batch_size: crops per batch.
        views: the clips and crops of each video.
        most: the largest number of clips; a fixed random choice, because datasets are sorted by
            class. None: all.
        process_index: number of this process, from 0. All views of a video are on one process.
        process_count: number of processes that share the videos.
    """
    _check_share(batch_size, process_index, process_count)
    num_videos = len(reader.source)
    if views.when == "cover":
        counts = np.array([reader.num_clips(i, views) for i in range(num_videos)], int)
    else:
        counts = np.full(num_videos, views.clips)
    videos = np.repeat(np.arange(num_videos), counts)
    clips = np.arange(len(videos)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.arange(len(videos))
    if most is not None:
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:most])
    chosen = chosen[videos[chosen] % process_count == process_index]
    clips_per_batch = max(1, batch_size // views.crops_per_clip)

    def read(numbers: np.ndarray) -> Arrays:
        # Numbers are in order, so the clips of a video are adjacent and decoded together.
        own = [(int(v), clips[numbers[videos[numbers] == v]]) for v in np.unique(videos[numbers])]
        return _join([reader.evaluation_example(v, views, which.tolist()) for v, which in own])

    dataset = (
        grain.MapDataset.range(len(chosen))
        .batch(clips_per_batch, batch_fn=lambda positions: chosen[np.array(positions)])
        .map(read)
        .map(functools.partial(_pad, batch_size=clips_per_batch * views.crops_per_clip))
    )
    # In place of the teacher on the device, evaluation estimates flow in the reading threads.
    num_workers = 0 if reader.config.teacher == ON_DEVICE else reader.config.num_workers
    return _closed_at_the_end(_read_ahead(dataset, reader, num_workers))


def _read_ahead(
    dataset: grain.MapDataset, reader: ClipReader, num_workers: int
) -> grain.DatasetIterator:
    config, threads = reader.config, reading_threads(reader.config)
    options = grain.ReadOptions(
        num_threads=threads,
        prefetch_buffer_size=max(config.prefetch, threads, 1),  # each thread holds one
    )
    if not num_workers:
        return iter(dataset.to_iter_dataset(options))
    if config.teacher == "tvl1":
        raise ValueError(
            f"data.num_workers: got {num_workers}, but the teacher tvl1 computes on the "
            "accelerator, which every worker process would claim. Use --data.num-workers 0, or "
            "--data.teacher dis."
        )
    if not flags.FLAGS.is_parsed():  # workers read it
        flags.FLAGS.mark_as_parsed()
    # A worker has a copy of the reader: the damaged videos it finds are sent with the batches.
    batches = dataset.map(functools.partial(_send_damaged, reader)).to_iter_dataset(options)
    workers = grain.MultiprocessingOptions(num_workers=num_workers)
    batches = grain.experimental.WithOptionsIterDataset(
        batches, grain.experimental.DatasetOptions(min_shm_size=SHARED_FROM)
    )
    batches = batches.mp_prefetch(workers, _obey_the_parent)
    return iter(batches.map(functools.partial(_receive_damaged, reader)))


@contextlib.contextmanager
def _explaining_dead_workers() -> Iterator[None]:
    """Tells why a reading process ended, where Grain only gives its exit code."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"terminated unexpectedly with exit code -(\d+)", str(error))
        why = _WHY_KILLED.get(int(found[1])) if found else None
        if why is None:
            raise
        raise RuntimeError(f"a reading process was ended by signal {found[1]}: {why}") from error


_WHY_KILLED = {
    signal.SIGBUS: (
        "the memory that it shares with the main process, /dev/shm, is full. Make it larger "
        "(docker run --shm-size=8g), or read in threads: --data.num-workers 0"
    ),
    signal.SIGKILL: (
        "perhaps memory ran out. Use fewer --data.num-workers, or a smaller --data.prefetch"
    ),
}


def _closed_at_the_end(batches: grain.DatasetIterator) -> Iterator[Arrays]:
    """Yields all batches and frees the reading processes and the memory shared with them."""
    try:
        with _explaining_dead_workers():
            yield from batches
    finally:
        batches.close()
        # The exception that ended the workers forms a cycle with frames that hold their last batch.
        gc.collect()
        _wait_for_deletions()


def _wait_for_deletions() -> None:
    """Waits for the thread in which Grain deletes shared memory; an exit would not wait for it."""
    with contextlib.suppress(ImportError, AttributeError):  # not a public part of Grain
        from grain._src.python.ipc.shared_memory_array import SharedMemoryArray

        if SharedMemoryArray._del_thread_pool is not None:
            SharedMemoryArray._del_thread_pool.apply(int)


def _obey_the_parent(worker: int, num_workers: int) -> None:
    """Ends this worker with its parent, and only with it.

    Ctrl-C reaches every process, but the parent saves and then ends its workers. A parent that is
    killed ends nothing: without a watch, its workers would wait for ever to hand over a batch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share_memory_between_threads()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _send_damaged(reader: ClipReader, batch: Arrays) -> Arrays:
    damaged = {i: dataclasses.astuple(item) for i, item in reader.damaged_by_number().items()}
    return batch | {"damaged": np.frombuffer(json.dumps(damaged).encode(), np.uint8)}


def _receive_damaged(reader: ClipReader, batch: Arrays) -> Arrays:
    damaged = json.loads(batch["damaged"].tobytes())
    reader.note_damaged({int(i): Skipped(*item) for i, item in damaged.items()})
    # Copied out of the memory that is shared with the worker, which is small in containers, and
    # which would otherwise be held for as long as JAX holds the batch, even at exit.
    return {name: np.array(array) for name, array in batch.items() if name != "damaged"}


def _check_share(batch_size: int, process_index: int, process_count: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}; give 1 or more")
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index: got {process_index} of process_count {process_count}; processes are "
            "numbered from 0"
        )


def _stack(examples: list[Arrays]) -> Arrays:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def _join(examples: list[Arrays]) -> Arrays:
    return {name: np.concatenate([example[name] for example in examples]) for name in examples[0]}


def _pad(batch: Arrays, batch_size: int) -> Arrays:
    missing = batch_size - len(batch["mask"])
    if missing:
        batch = {k: np.concatenate([v, np.repeat(v[-1:], missing, 0)]) for k, v in batch.items()}
        batch["mask"][-missing:] = False
    return batch
