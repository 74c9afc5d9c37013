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
        root: description of what `data.root` must be; empty if it may be left out.
        split: how the videos are split and labeled, for the documentation.
        read_list: reads the official lists, for training and for `python -m afn_jax.data.check`;
            None if the dataset does not consist of video files.
        recognize: returns whether the files under (root, annotations or None) look like this
            dataset; `python -m afn_jax.data.check` uses it to guess the dataset.
        ground_truth: opens the frame sequences with their true flow, for `python -m eval flow`,
            which calls `ground_truth(root, split=..., **options)`; None if there is no true flow.
        options: names of the options of `ground_truth`: render, count_invalid, annotations.
        official_split: whether there is an official validation split of the true flow.
        has_actions: whether videos have action classes.
        generated: whether videos are rendered on demand, each as long as a clip.
        mirrorable: whether a mirrored clip keeps its class.
        knows_lengths: whether lengths of videos are known without decoding them.
        prepared_from: returns the name of the dataset that the files under a root were prepared
            from; None if they are the original files.
    """

    create: Callable[[DataConfig, str, int], Source]
    about: str
    root: str = ""
    split: str = ""
    read_list: ListReader | None = None
    recognize: Callable[[Path, Path | None], bool] | None = None
    ground_truth: Callable[..., Any] | None = None
    options: tuple[str, ...] = ()
    official_split: bool = False
    has_actions: bool = True
    generated: bool = False
    mirrorable: bool = True
    knows_lengths: bool = True
    prepared_from: Callable[[Path], str] | None = None
