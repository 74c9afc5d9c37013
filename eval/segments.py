"""Evaluates the segments of `afn-jax predict` on untrimmed videos: `python -m eval segments`.

    python -m eval segments --run RUN                    # embedded untrimmed videos
    python -m eval segments --run RUN --data-root VIDEOS --annotations segments.csv

The segments are compared with the most probable class of each window on its own. Where nothing
happens, a network without a class for it is merely less certain, so both are given with thresholds
too. On the embedded videos, thresholds are chosen on other videos (the split `validation`), for
each method its own.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from afn_jax.atomic import write_atomically
from afn_jax.command.options import OPTIONAL_FLOAT, UNSET, default
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.lists.csv_list import read_whole_csv
from afn_jax.data.sources.lists.video_list import Entry
from afn_jax.data.sources.synthetic_motion import CLASS_NAMES
from afn_jax.data.sources.synthetic_untrimmed import FPS, NONE, SyntheticUntrimmed
from afn_jax.export.card import Card
from afn_jax.export.network import Network
from afn_jax.limits import Limits, check_limits
from afn_jax.metrics.segments import BACKGROUND, Interval, SegmentMetric, frame_labels
from afn_jax.near_names import did_you_mean_or_all
from afn_jax.predict.frames.stream import open_frames
from afn_jax.predict.segments import LOW, Segment, Threshold
from afn_jax.predict.settings import Settings
from eval.run_network import load_run
from eval.segments_page import COLUMNS, option_line, write_segments_page
from eval.timelines import Timelines, predicted_segments, read_timelines, window_segments
from train.data_record import Listed
from train.hosts.checks import check_same_videos
from train.hosts.shares import gather_shares, own_share
from train.hosts.together import by_first, gather, leads

STEM = "segments"  # of the results on embedded videos; own videos add the name of their folder
BACKGROUNDS = (NONE, "background")  # class names that mean that nothing happens
BATCH = 8  # windows per call of the network
# Tried on the validation videos; guessed.
HIGHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
LOWS = (0.4, LOW, 0.8, 1.0)  # relative to the high threshold
LEASTS = (0.0, 0.4, 0.8)

Method = Callable[[Timelines], list[Segment]]


@dataclasses.dataclass(frozen=True)
class SegmentsConfig:
    """Evaluates the segments that `afn-jax predict` finds in untrimmed videos."""

    run: str
    """Folder of the run."""
    out: Annotated[str, default("the folder of the run")] = ""
    (
        "Folder for segments.json and segments.html, or segments-NAME.json and .html for the "
        "folder NAME of your own videos; created if missing."
    )
    videos: Annotated[int, Limits(1)] = 30
    """Number of embedded test videos."""
    validation_videos: Annotated[int, Limits(1)] = 20
    """Number of other embedded videos that thresholds are chosen on."""
    seed: Annotated[int, Limits(0)] = 0
    """Seed of the embedded videos."""
    data_root: Annotated[str, UNSET] = ""
    """Folder of your own untrimmed videos."""
    annotations: Annotated[str, UNSET] = ""
    """CSV list of their actions: path,label,start,end. Of lists with splits, the test split."""
    every: Annotated[
        float | None,
        Limits(above=0, below=math.inf),
        OPTIONAL_FLOAT,
        default("half of the length of a window"),
    ] = None
    """Seconds from one window to the next."""
    threshold: Annotated[
        float | None,
        Limits(above=0, maximum=1),
        OPTIONAL_FLOAT,
        default(".5, or on embedded videos chosen with low and least"),
    ] = None
    """A segment contains a moment of at least this probability."""
    low: Annotated[
        float | None, Limits(above=0, maximum=1), OPTIONAL_FLOAT, default("0.6 x threshold")
    ] = None
    """A segment extends over moments of at least this probability."""
    least: Annotated[float, Limits(minimum=0, below=math.inf)] = 0.0
    """Leave out segments that are shorter, in seconds."""


def run_segments(config: SegmentsConfig, console: Console | None = None) -> dict[str, Any]:
    """Evaluates a run; writes `segments.json` and `segments.html` into `out` or its folder.

    For own videos, the names are `segments-NAME.json` and `.html`, after the folder of the videos.

    Returns:
        The contents of the JSON file.

    Raises:
        ValueError: wrong settings, a run without or with other classes, or no readable video.
        CheckpointError: the run has no readable checkpoint.
        OSError: the folder cannot be written.
    """
    console = console or Console()
    check_limits(config)
    if bool(config.data_root) != bool(config.annotations):
        raise ValueError(
            "data_root and annotations belong together: give --data-root FOLDER and --annotations "
            "FILE.csv, or neither for the embedded videos."
        )
    network = load_run(config.run)
    report = _report_path(config)
    values = evaluate_segments(network, config, console)
    timelines = values.pop("timelines")
    values["report"] = str(report)
    if leads():
        write_atomically(report.with_suffix(".json"), json.dumps(values, indent=1) + "\n")
        write_segments_page(report, values, timelines)
    _print_table(values, console)
    return values


def _report_path(config: SegmentsConfig) -> Path:
    """Returns the path of the page; makes its folder."""
    folder = Path(config.out or config.run)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: {folder} is a file; give a folder.")
    by_first(folder.mkdir, parents=True, exist_ok=True)
    name = Path(config.data_root).resolve().name if config.data_root else ""
    return folder / f"{STEM}{'-' * bool(name)}{name}.html"


def segments_line(values: dict[str, Any]) -> str:
    """Returns the main numbers as one machine-readable line."""
    ours, theirs = values["methods"]["predict"], values["methods"]["windows"]
    names = ("f1_10", "f1_25", "f1_50", "map_50", "frame_accuracy")
    parts = [f"{name}={ours[name]:.4g}" for name in names]
    parts += [f"windows_{name}={theirs[name]:.4g}" for name in names]
    return " ".join([*parts, f"videos={values['num_videos']}", f"report={values['report']}"])


def evaluate_segments(network: Network, config: SegmentsConfig, console: Console) -> dict[str, Any]:
    """Returns the contents of `segments.json`, and `timelines` of the videos."""
    names = network.card.class_names
    if len(names) < 2:
        raise ValueError(f"run: {network.name} does not classify actions; give one that does.")
    background = next((names.index(name) for name in BACKGROUNDS if name in names), None)
    settings = Settings(every=config.every, batch_size=BATCH)
    chosen, cut = _given(config), 0.5
    skipped: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    if config.data_root:
        timelines, skipped, notes = _own(network, settings, config)
    else:
        check_embedded(network.card, network.name)
        timelines, validation = (
            gather_shares(list(_embedded(network, settings, config, split, console)))
            for split in ("test", "validation")
        )
        if config.threshold is None:
            chosen = choose_threshold(validation, background)
        cut = choose_cut(validation, background)
    if not timelines:
        raise ValueError(f"none of the videos can be read; the first: {': '.join(skipped[0])}")
    usual = Threshold(0.5, LOW * 0.5, 0.0)
    methods: dict[str, Method] = {
        "predict": lambda t: _of_predict(t, chosen, background),
        "predict, defaults": lambda t: _of_predict(t, usual, background),
        "windows": lambda t: window_segments(t, background),
        f"windows above {cut:g}": lambda t: window_segments(t, background, cut),
    }
    found = {name: [method(t) for t in timelines] for name, method in methods.items()}
    return {
        "methods": {
            name: measure(timelines, segments).compute() for name, segments in found.items()
        },
        "threshold": chosen.high,
        "low": chosen.low,
        "least": chosen.least,
        "thresholds": _how(config),
        "certainty": certainty(timelines),
        "class_names": list(names),
        "background": None if background is None else names[background],
        "videos": config.data_root or "embedded",
        "num_videos": len(timelines),
        "seconds": sum(t.duration for t in timelines),
        "step": network.card.step,
        "skipped": skipped,
        "notes": notes,
        "timelines": [
            (t, [segments[i] for segments in found.values()]) for i, t in enumerate(timelines)
        ],
    }


def measure(timelines: Sequence[Timelines], found: Sequence[Sequence[Segment]]) -> SegmentMetric:
    """Computes the metric of the segments found in each video."""
    metric = SegmentMetric()
    for timeline, segments in zip(timelines, found, strict=True):
        metric = metric.merge(SegmentMetric.from_video(timeline.true, segments, timeline.times))
    return metric


def certainty(timelines: Sequence[Timelines]) -> dict[str, list[float]]:
    """Returns the quartiles of the largest probability of a step, in actions and in pauses."""
    found: dict[str, list[float]] = {"actions": [], "pauses": []}
    for timeline in timelines:
        middles = np.array([(step.start + step.end) / 2 for step in timeline.steps])
        for step, label in zip(timeline.steps, frame_labels(timeline.true, middles), strict=True):
            part = "pauses" if label == BACKGROUND else "actions"
            found[part].append(float(np.max(step.probabilities)))
    return {
        part: np.quantile(values, (0.25, 0.5, 0.75)).round(4).tolist() if values else []
        for part, values in found.items()
    }


def choose_threshold(timelines: Sequence[Timelines], background: int | None) -> Threshold:
    """Returns the thresholds of the highest F1 at IoU .5; of equals, the first and lowest."""
    options = [
        Threshold(high, low * high, least)
        for high, low, least in itertools.product(HIGHS, LOWS, LEASTS)
    ]

    def score(option: Threshold) -> float:
        return measure(timelines, [_of_predict(t, option, background) for t in timelines]).f1(0.5)

    return max(options, key=score)


def choose_cut(timelines: Sequence[Timelines], background: int | None) -> float:
    """Returns the least probability of windows for the highest F1 at IoU .5."""

    def score(cut: float) -> float:
        found = [window_segments(t, background, cut) for t in timelines]
        return measure(timelines, found).f1(0.5)

    return max(HIGHS, key=score)


def check_embedded(card: Card, name: str) -> None:
    """Raises ValueError if a network cannot be evaluated on the embedded videos."""
    if card.class_names[: len(CLASS_NAMES)] != CLASS_NAMES:
        raise ValueError(
            f"run: {name} has the classes {', '.join(card.class_names[:3])}, ..., and the embedded "
            f"videos show {', '.join(CLASS_NAMES[:3])}, ...; give your own untrimmed videos with "
            "--data-root and --annotations."
        )


def _given(config: SegmentsConfig) -> Threshold:
    high = 0.5 if config.threshold is None else config.threshold
    return Threshold(high, LOW * high if config.low is None else config.low, config.least)


def _how(config: SegmentsConfig) -> str:
    """Returns where the thresholds come from."""
    if config.threshold is not None:
        return "given"
    return "defaults" if config.data_root else f"chosen on {config.validation_videos} other videos"


def _of_predict(timelines: Timelines, threshold: Threshold, background: int | None):
    classes = len(timelines.steps[0].probabilities) if timelines.steps else 0
    return predicted_segments(timelines, [threshold] * classes, background)


def _embedded(
    network: Network, settings: Settings, config: SegmentsConfig, split: str, console: Console
) -> Iterator[Timelines]:
    """Yields the timelines of the videos of this process."""
    count = config.videos if split == "test" else config.validation_videos
    source = SyntheticUntrimmed(count, size=network.card.size, seed=config.seed, split=split)
    own = own_share(range(count))
    for index in track(own, f"{split} videos", console=console, transient=True):
        video = source[index]
        yield read_timelines(
            ((number / FPS, frame) for number, frame in enumerate(video.frames())),
            network,
            settings,
            fps=FPS,
            name=video.name,
            true=[Interval(*segment) for segment in video.segments],
        )


def _own(
    network: Network, settings: Settings, config: SegmentsConfig
) -> tuple[list[Timelines], list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns the timelines of own videos, the skipped videos with reasons, and notes of videos."""
    names = network.card.class_names
    root = Path(config.data_root)
    videos = read_whole_csv(root, Path(config.annotations))
    for name in videos.class_names:
        if name not in names and name not in BACKGROUNDS:
            raise ValueError(
                f"annotations: the network does not have the class {name!r}. "
                f"{did_you_mean_or_all(name, names)}"
            )
    by_path = {
        path: [
            entry
            for entry in videos.entries
            if entry.path == path and videos.class_names[entry.label] not in BACKGROUNDS
        ]
        for path in dict.fromkeys(entry.path for entry in videos.entries)
    }
    for path, entries in by_path.items():
        _check_disjoint(entries, videos.class_names, f"annotations: {config.annotations}: {path}")
    check_same_videos([Listed(repr(item), None) for item in by_path.items()], videos.class_names)
    skipped, notes, own = [], [], []
    for path in own_share(list(by_path)):
        timelines = None
        try:
            with open_frames(str(root / path), short_side=network.card.short_side) as frames:
                timelines = read_timelines(
                    ((frame.time, frame.image) for frame in frames),
                    network,
                    settings,
                    fps=frames.fps,
                    name=path,
                    true=(),
                )
                notes += [(path, note) for note in frames.notes]
        except VideoReadError as error:
            skipped.append((path, str(error)))
        own.append(timelines)
    found = [
        _with_true(timelines, by_path[timelines.name], videos.class_names, names)
        for timelines in gather_shares(own)
        if timelines is not None
    ]
    return found, *([row for part in gather(rows) for row in part] for rows in (skipped, notes))


def _with_true(
    timelines: Timelines, entries: Sequence[Entry], class_names: Sequence[str], names: Sequence[str]
) -> Timelines:
    true = []
    for entry in entries:
        start, end = _times(entry)
        end = timelines.duration if math.isinf(end) else end
        true.append(Interval(names.index(class_names[entry.label]), start, end))
    return dataclasses.replace(timelines, true=tuple(true))


def _times(entry: Entry) -> tuple[float, float]:
    start = 0.0 if entry.start is None else entry.start
    return start, math.inf if entry.end is None else entry.end


def _check_disjoint(entries: Sequence[Entry], class_names: Sequence[str], where: str) -> None:
    """Raises ValueError if two actions of a video share some time."""
    ordered = sorted(entries, key=_times)
    for one, other in itertools.pairwise(ordered):
        if _times(other)[0] < _times(one)[1]:
            shown = " and ".join(
                f"{class_names[entry.label]!r} from {_times(entry)[0]:g} s to "
                + ("its end" if entry.end is None else f"{entry.end:g} s")
                for entry in (one, other)
            )
            raise ValueError(
                f"{where}: {shown} overlap. Only one action at a time can be evaluated: change the "
                "times, or leave out one of the rows."
            )


def _print_table(values: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for name, numbers in values["methods"].items():
        cells = (f"{numbers[c]}" if c == "segments" else f"{numbers[c]:.3f}" for c in COLUMNS)
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        f"thresholds of predict, {values['thresholds']}: {option_line(values)}",
        highlight=False,
        soft_wrap=True,
    )
    for path, reason in values["skipped"]:
        console.print(f"skipped {path}: {reason}", highlight=False, markup=False, soft_wrap=True)
    for path, note in values["notes"]:
        console.print(f"{path}: {note}", highlight=False, markup=False, soft_wrap=True)
