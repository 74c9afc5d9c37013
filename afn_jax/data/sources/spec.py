"""What a dataset name stands for: the type of the entries of the table `SOURCES`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Source
from afn_jax.data.sources.lists.video_list import VideoList

ListReader = Callable[[Path, str, Path | None, int], VideoList]
"""Reads the videos of one split from (root, split, annotations or None, list number)."""


@dataclasses.dataclass(frozen=True)
class SourceSpec:
    """A dataset that `--data NAME` selects.

    Attributes:
        create: opens the "train" or "test" split. Its arguments are the settings, the split and the
            seed of the run.
        about: one line for the help and the documentation.
        root: what `data.root` must be; empty if the dataset can do without.
        read_list: reads the official lists; None if there are no files of videos. The doctor
            (`python -m afn_jax.data.check`) uses it.
        recognize: whether the files in the folder of videos, or in the folder or file of
            annotations, look like those of this dataset; the doctor guesses with it.
        ground_truth: opens the frame sequences and their true flow, for `python -m eval flow`;
            called as `ground_truth(root, split=..., **options)`. None if there is no true flow.
        options: names of the options that `ground_truth` takes, out of render, count_invalid and
            annotations.
        official_split: whether the dataset says which of its flow is for validation.
        has_actions: whether videos have classes.
        generated: whether videos are rendered when asked for, as long as a clip needs.
        mirrorable: whether a mirrored clip keeps its class.
        knows_lengths: whether lengths of videos are known before they are decoded.
    """

    create: Callable[[DataConfig, str, int], Source]
    about: str
    root: str = ""
    read_list: ListReader | None = None
    recognize: Callable[[Path, Path | None], bool] | None = None
    ground_truth: Callable[..., Any] | None = None
    options: tuple[str, ...] = ()
    official_split: bool = False
    has_actions: bool = True
    generated: bool = False
    mirrorable: bool = True
    knows_lengths: bool = True
