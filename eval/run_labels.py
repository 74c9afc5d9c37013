"""Gives test videos the labels of a run, and compares them with what the run was trained on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from afn_jax.data.source import Skipped, Source, Video
from afn_jax.data.sources import source_spec
from afn_jax.near_names import printable
from train.checkpoint import load_record
from train.class_names import check_classes_of_run
from train.config import TrainConfig
from train.data_changes import option_for_classes, spelling_note, unrecorded, warn
from train.data_record import digest_of, list_videos
from train.hosts.checks import check_same_videos
from train.saved_classes import check_num_classes
from train.video_changes import changes_of_videos, leak_note


@dataclasses.dataclass(frozen=True)
class Relabeled:
    """A video with another label; everything else is that of the video."""

    video: Video
    labels: tuple[int, ...]

    @property
    def label(self) -> int:
        """0-based class."""
        return self.labels[self.video.label]

    def __getattr__(self, name: str):
        if name.startswith("__"):  # pickle asks before `video` exists
            raise AttributeError(name)
        return getattr(self.video, name)


@dataclasses.dataclass(frozen=True)
class RelabeledSource:
    """The videos of a source with the labels of a run, a `Source`.

    Attributes:
        source: the videos.
        class_names: of the run, by label.
        labels: the run's label of each class of the source.
    """

    source: Source
    class_names: tuple[str, ...]
    labels: tuple[int, ...]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that were left out, with the reasons."""
        return self.source.skipped

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Relabeled:
        return Relabeled(self.source[index], self.labels)


@dataclasses.dataclass(frozen=True)
class RunVideos:
    """Test videos with the labels of a run.

    Attributes:
        source: the videos, with the class names and labels of the run.
        notes: how the data differs from that of the training, for a report.
        recorded: whether the class names were recorded in training, or cannot change.
    """

    source: Source
    notes: list[str]
    recorded: bool = True


def with_labels_of(
    run_dir: Path, settings: TrainConfig, source: Source, console: Console
) -> RunVideos:
    """Gives test videos the labels that a run has for their classes.

    Args:
        run_dir: folder of the run.
        settings: of the run, with the data that it is evaluated on.
        source: the test videos.
        console: prints the notes.

    Raises:
        ValueError: the classes of the data are not those of the run, or not in its order; or
            another process has other videos.
    """
    notes = []
    _, record = load_record(run_dir)
    spec = source_spec(settings.data.source)
    learns = settings.objective.action
    if jax.process_count() > 1:
        known = spec.knows_lengths
        check_same_videos(list_videos(source, labeled=known, measured=known), source.class_names)
    if record is None:
        if learns:
            otherwise = "Give the videos that it was trained on with --data-root."
            check_num_classes(run_dir, source.class_names, otherwise)
        if learns and not spec.generated:
            notes.append(unrecorded(run_dir))
        return RunVideos(source, _printed(notes, console), recorded=spec.generated)
    if learns:
        names = record.class_names
        labels = check_classes_of_run(
            run_dir,
            names,
            source.class_names,
            option=option_for_classes(settings, "--classes"),
            otherwise="give the videos that it was trained on with --data-root",
            subset=True,
        )
        notes.append(spelling_note(run_dir, names, source.class_names))
        notes.append(_subset_note(names, labels))
        if tuple(source.class_names) != names:
            source = RelabeledSource(source, names, labels)
    if not spec.generated:
        known = spec.knows_lengths
        listed = list_videos(source, labeled=learns and known, measured=known)
        changes = changes_of_videos(record, {"test": digest_of(listed)}, {"test": listed}, run_dir)
        if changes:
            notes.append(f"the test videos changed since training: {'; '.join(changes)}")
        notes.append(leak_note(run_dir, listed))
    return RunVideos(source, _printed(list(filter(None, notes)), console))


def _subset_note(names: Sequence[str], labels: Sequence[int]) -> str:
    if len(labels) == len(names):
        return ""
    missing = [printable(name) for label, name in enumerate(names) if label not in labels]
    return (
        f"the data has {len(labels)} of the {len(names)} classes of the run (without "
        f"{', '.join(missing[:5])}{' ...' * (len(missing) > 5)}); the network chooses among all "
        f"{len(names)}"
    )


def _printed(notes: list[str], console: Console) -> list[str]:
    for note in notes:
        warn(console, note)
    return [f"{note[0].upper()}{note[1:]}." for note in notes]
