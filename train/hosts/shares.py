"""Sharing the work of an evaluation among the processes: each item on one of them.

A process works on its own devices, without the others; the results are gathered once.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import jax

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import Arrays, evaluation_batches
from afn_jax.data.transforms.views import MIDDLE_CLIP, Views
from train.hosts.together import gather

Item = TypeVar("Item")


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """Returns the items of this process: every n-th one of n processes."""
    return items[jax.process_index() :: jax.process_count()]


def gather_shares(own: Sequence[Item]) -> list[Item]:
    """Returns the results of all processes in the order of the items. All have to call it.

    Args:
        own: one result for each item of `own_share`.
    """
    parts = gather(list(own))
    return [part[i] for i in range(len(parts[0])) for part in parts if i < len(part)]


def own_batches(
    reader: ClipReader, batch_size: int, views: Views = MIDDLE_CLIP, most: int | None = None
) -> Iterator[Arrays]:
    """Returns the evaluation batches of the videos of this process.

    Args:
        reader: reads the examples.
        batch_size: crops per batch, over all processes.
        views: the clips and crops of each video.
        most: the largest number of clips, over all processes; None: all.
    """
    return evaluation_batches(
        reader,
        batch_size=max(1, batch_size // jax.process_count()),
        views=views,
        most=most,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
