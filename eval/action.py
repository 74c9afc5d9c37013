"""Evaluates action recognition and flow of a run on its test split: `python -m eval action`.

The protocol sets the views of each video and how their scores are averaged, see `eval.protocols`.
Each video counts once, for any batch size and number of devices.

Several runs, such as those of the three splits of UCF101, are evaluated in turn and averaged.

With several processes (`train.hosts`), each evaluates its share of the videos, and process 0
writes.
"""

import collections
import dataclasses
import functools
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from rich.console import Console

from afn_jax.atomic import write_atomically
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.source import Skipped, Source
from afn_jax.data.sources import create_source
from afn_jax.data.transforms.views import Views
from afn_jax.limits import Limits, check_limits
from afn_jax.metrics import EndpointErrorMetric, PerClass, true_class_rank
from afn_jax.types import Batch
from eval.example_clips import example_clips
from eval.predict import Predict, load_predict, moved, starts_of
from eval.protocols import Protocol, ProtocolName, Space, find_protocol
from eval.report import write_report
from eval.run_labels import RunVideos, with_labels_of
from eval.scores import FILE, Scores, accuracy, accuracy_interval, softmax
from train.checkpoint import load_config
from train.class_names import check_same_classes
from train.hosts.shares import own_batches
from train.hosts.together import by_first, gather, leads
from train.objectives import flow_and_target
from train.writers import read_metrics, read_skipped


@dataclasses.dataclass(frozen=True)
class ActionConfig:
    """Evaluates the newest checkpoint of a run on its test split."""

    run: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """Folder of the run. Repeat the option to average over runs, such as those of three splits."""
    protocol: ProtocolName = "clips"
    """Test protocol. clips: K evenly spaced clips, center crop. The others are the papers'."""
    clips: Annotated[int, Limits(0)] = 0
    """Clips per video; 0: as the protocol has it. For clips, that is the run's test_clips."""
    batch_size: Annotated[int, Limits(1)] = 32
    """Clips per batch, over all devices; ten crops count as ten clips."""
    examples: Annotated[int, Limits(0)] = 8
    """Number of test clips to show in the report."""
    estimate_flow: bool = False
    (
        "Where no flow is stored with the videos, estimate it with the run's teacher for every "
        "clip and report the distance to it. Takes several times as long as the rest."
    )
    data_root: str = ""
    """Folder of the videos, if they have moved since training."""
    annotations: str = ""
    """Lists of the videos, if they have moved since training."""
    classes: tuple[str, ...] = ()
    """Classes of the data to use, in the run's order: their names, or a file with one per line."""


@dataclasses.dataclass(frozen=True)
class ActionResult:
    """Result of `evaluate`, for the videos that could be read.

    Attributes:
        logits: `[videos, classes]`, mean over the views; None if the network does not classify.
        probabilities: likewise.
        labels: `[videos]`, 0-based.
        videos: `[videos]`, indices in the source.
        views: `[videos]`, number of views.
        epe: mean endpoint error; None without flow or without a flow target.
        zero_flow_epe: the same for zero flow.
        damaged: videos that could not be read.
    """

    logits: np.ndarray | None
    probabilities: np.ndarray | None
    labels: np.ndarray
    videos: np.ndarray
    views: np.ndarray
    epe: float | None
    zero_flow_epe: float | None
    damaged: tuple[Skipped, ...]

    def scores(self, space: Space) -> np.ndarray | None:
        """Returns `logits` or `probabilities`."""
        return self.logits if space == "logits" else self.probabilities


def run_action(config: ActionConfig, console: Console | None = None) -> list[dict]:
    """Evaluates one or more runs.

    Writes `eval.json`, `report.html` and, if the run classifies, `scores.npz` into the folder of
    each run.

    Returns:
        The contents of each `eval.json`; for several runs, their mean is added at the end.

    Raises:
        ValueError: not a run folder, invalid settings, or no test video can be decoded.
        CheckpointError: a run has no readable checkpoint.
    """
    console = console or Console()
    check_limits(config)
    if not config.run:
        raise ValueError("run: got none; give the folder of a run with --run.")
    folders = [Path(run) for run in config.run]
    twice = [str(path) for path in folders if folders.count(path) > 1]
    if twice:
        raise ValueError(f"run: {twice[0]} is given more than once; give each run once.")
    find_protocol(config.protocol, config.clips)
    for path in folders:  # before the first evaluation, which takes time
        load_config(path)
    results = [_run(config, path, console) for path in folders]
    values = [value for value, _ in results]
    if len(values) > 1:
        values.append(_mean(values, [scores for _, scores in results], config.run))
    return values


def _run(config: ActionConfig, run_dir: Path, console: Console) -> tuple[dict, Scores | None]:
    """Evaluates one run; returns the contents of `eval.json` and of `scores.npz`."""
    settings = moved(load_config(run_dir), config.data_root, config.annotations, config.classes)
    clips = config.clips
    if find_protocol(config.protocol).clips_of_run:
        clips = clips or settings.test_clips
    protocol = find_protocol(config.protocol, clips)
    test_videos = create_source(settings.data, "test", settings.seed)
    videos = with_labels_of(run_dir, settings, test_videos, console)
    source = videos.source
    predict, step = load_predict(run_dir, settings, len(source.class_names))
    starts = starts_of(settings, len(source.class_names))
    data = settings.data if config.estimate_flow else replace(settings.data, teacher="none")
    result = evaluate(predict, source, data, protocol.views, config.batch_size, starts)
    if not len(result.labels):
        first = f" (first: {result.damaged[0].reason})" if result.damaged else ""
        raise ValueError(
            f"none of the {len(source)} test videos can be decoded{first}. "
            "Check that the dataset is complete and its disk is readable."
        )
    scores = _scores(result, videos, protocol, run_dir, step)
    if scores is not None:
        by_first(scores.save, run_dir / FILE)
    summary = summarize(result, len(source.class_names), protocol.space)
    confusion = _confusion(result, len(source.class_names), protocol.space)
    # Files skipped in training too, each once.
    skipped = dict.fromkeys([*read_skipped(run_dir), *source.skipped, *result.damaged])
    notes = [
        f"{len(result.labels)} test videos, {settings.data.num_frames} frames per clip; "
        f"{protocol.describe()}; step {step} of {settings.steps}."
    ]
    if scores is not None:
        low, high = accuracy_interval([(scores.names, _right(scores, protocol))])
        notes.append(
            f"Top-1 accuracy {100 * summary['top1']:.1f} %, 95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} % (bootstrap over videos)."
        )
    if result.epe is not None and not source[0].has_flow:
        notes.append(
            f"The flow target is estimated by the teacher {settings.data.teacher!r}, "
            "so the endpoint error is the distance to the teacher's flow."
        )
    words = ["python", "-m", "eval", "action", "--run", str(run_dir)]
    words += ["--protocol", protocol.name] if protocol.name != ActionConfig.protocol else []
    words += ["--clips", str(clips)] if clips else []
    words += ["--estimate-flow"] if config.estimate_flow else []
    words += ["--data-root", config.data_root] if config.data_root else []
    words += ["--annotations", config.annotations] if config.annotations else []
    words += ["--classes", *config.classes] if config.classes else []
    report = run_dir / "report.html"
    if leads():
        write_report(
            report,
            title=f"{settings.recipe} ({settings.scale}): {run_dir}",
            summary=summary,
            history=read_metrics(run_dir),
            class_names=source.class_names,
            confusion=np.asarray(confusion.counts),
            examples=example_clips(predict, source, settings.data, config.examples, starts),
            skipped=[(item.path, item.reason) for item in skipped],
            command=shlex.join(words),
            notes=[*notes, *videos.notes],
        )
    cover = protocol.views.when == "cover"
    values = {
        **summary,
        "step": step,
        "protocol": protocol.name,
        "space": protocol.space,
        "dataset": settings.data.source,
        "list_number": settings.data.list_number,
        "size": list(settings.data.size),
        "num_videos": len(result.labels),
        "clips_per_video": "cover" if cover else protocol.views.clips,
        "crops_per_clip": protocol.views.crops_per_clip,
        "report": str(report),
        "class_names": list(source.class_names),
        "per_class": np.asarray(confusion.compute()["per_class"]).tolist(),
        "confusion": np.asarray(confusion.counts).astype(int).tolist(),
        "skipped": [[item.path, item.reason] for item in skipped],
        "data_notes": videos.notes,
    }
    if scores is not None:
        values["top1_interval"] = [low, high]
    by_first(write_atomically, run_dir / "eval.json", json.dumps(values, indent=1) + "\n")
    for item in result.damaged:
        console.print(f"warning: skipped {item.path} ({item.reason})", style="yellow")
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    return values, scores


def result_line(values: dict) -> str:
    """Returns the result as one line: `top1=0.93 chance=0.125 epe=0.31 ... report=...`."""
    numbers = [
        f"{name}={values[name]:.4g}"
        for name in ("top1", "top5", "chance", "epe", "zero_flow_epe")
        if name in values
    ]
    if "runs" in values:
        low, high = values.get("top1_interval", (None, None))
        interval = [f"low={low:.4g}", f"high={high:.4g}"] if low is not None else []
        return " ".join([f"runs={values['runs']}", *numbers, *interval])
    return " ".join([*numbers, f"report={values['report']}"])


def evaluate(
    predict: Predict,
    source: Source,
    data: DataConfig,
    views: Views,
    batch_size: int,
    starts: Sequence[int] | None = None,
) -> ActionResult:
    """Evaluates all views of all videos of a source; each video counts once.

    With several processes, all have to call this; each returns the result of all.

    Args:
        predict: the network.
        source: the videos.
        data: how clips are cut.
        views: the clips and crops of each video.
        batch_size: clips per batch, over all processes; ten crops count as ten clips.
        starts: the frame at which each flow of the network starts; None: flow t starts at frame t.
    """
    reader = ClipReader(source, data, starts)
    shape = (len(source), len(source.class_names))
    logits, probabilities = np.zeros(shape), np.zeros(shape)
    counts = np.zeros(len(source), int)
    labels = np.zeros(len(source), int)
    classifies = False
    flow_error = None
    for arrays in own_batches(reader, batch_size, views):
        batch = Batch.from_arrays(arrays)
        prediction = predict(batch.frames)
        videos = arrays["indices"][batch.mask]
        np.add.at(counts, videos, 1)
        labels[videos] = batch.labels[batch.mask]
        if prediction.logits is not None:
            classifies = True
            scores = np.asarray(prediction.logits, np.float64)[batch.mask]
            np.add.at(logits, videos, scores)
            np.add.at(probabilities, videos, softmax(scores))
        if prediction.flows and batch.flows is not None:
            error = EndpointErrorMetric.from_batch(*flow_and_target(prediction, batch, starts))
            # In double precision: float32 cannot count the pixels of a large test set.
            error = jax.tree.map(np.float64, error)
            flow_error = error if flow_error is None else flow_error.merge(error)
    videos = np.flatnonzero(counts)
    rows = [videos, *(array[videos] for array in (counts, labels, logits, probabilities))]
    return _result_of_all(rows, classifies, flow_error, reader.damaged_by_number())


def _result_of_all(
    rows: list[np.ndarray],
    classifies: bool,
    flow_error: EndpointErrorMetric | None,
    damaged: dict[int, Skipped],
) -> ActionResult:
    """Joins what each process found.

    Args:
        rows: videos, their numbers of views, labels, and sums of logits and of probabilities.
        classifies: whether the network predicted logits.
        flow_error: None without flow.
        damaged: by number of the video.
    """
    parts = gather((rows, classifies, flow_error, damaged))
    every, classified, flow_errors, found = zip(*parts, strict=True)
    joined = [np.concatenate(arrays) for arrays in zip(*every, strict=True)]
    order = np.argsort(joined[0])
    videos, counts, labels, logits, probabilities = (array[order] for array in joined)
    classifies = any(classified) and len(videos) > 0
    errors = [error for error in flow_errors if error is not None]
    total = functools.reduce(EndpointErrorMetric.merge, errors) if errors else None
    flow = total.compute() if total is not None and total.error.count else {}
    return ActionResult(
        logits=logits / counts[:, None] if classifies else None,
        probabilities=probabilities / counts[:, None] if classifies else None,
        labels=labels,
        videos=videos,
        views=counts,
        epe=float(flow["epe"]) if flow else None,
        zero_flow_epe=float(flow["zero_flow_epe"]) if flow else None,
        damaged=tuple(item for _, item in sorted(collections.ChainMap(*found).items())),
    )


def summarize(result: ActionResult, num_classes: int, space: Space) -> dict[str, float]:
    """Returns `top1`, `top5`, `chance`, `epe` and `zero_flow_epe`, as far as the run has them."""
    summary: dict[str, float] = {}
    scores = result.scores(space)
    if scores is not None:
        summary |= accuracy(scores, result.labels) | {"chance": 1.0 / num_classes}
    if result.epe is not None:
        summary["epe"] = result.epe
        summary["zero_flow_epe"] = result.zero_flow_epe
    return summary


def _scores(
    result: ActionResult, videos: RunVideos, protocol: Protocol, run_dir: Path, step: int
) -> Scores | None:
    if result.logits is None:
        return None
    return Scores(
        logits=result.logits,
        probabilities=result.probabilities,
        labels=result.labels,
        names=tuple(videos.source[int(i)].name for i in result.videos),
        class_names=tuple(videos.source.class_names),
        views=result.views,
        protocol=protocol.name,
        run=str(run_dir),
        step=step,
        recorded=videos.recorded,
    )


def _right(scores: Scores, protocol: Protocol) -> np.ndarray:
    return true_class_rank(scores.in_space(protocol.space), scores.labels) < 1


def _confusion(result: ActionResult, num_classes: int, space: Space) -> PerClass:
    """Counts the classified videos; a run that learned only flow has none."""
    scores, labels = result.scores(space), result.labels
    if scores is None:
        scores, labels = np.zeros((0, num_classes)), np.zeros((0,), int)
    return PerClass.from_batch(scores, labels, np.ones(len(labels), bool))


def _mean(values: Sequence[dict], scores: Sequence[Scores | None], runs: Sequence[str]) -> dict:
    """Averages, over runs, the numbers that all of them have."""
    check_same_classes(
        [(run, value["class_names"]) for run, value in zip(runs, values, strict=True)],
        "run: the runs have different class lists and cannot be averaged",
        "Give runs of one dataset. The result of each run is in its eval.json.",
    )
    names = ("top1", "top5", "chance", "epe", "zero_flow_epe")
    shared = [name for name in names if all(name in value for value in values)]
    mean = {"runs": len(values)} | {
        name: float(np.mean([value[name] for value in values])) for name in shared
    }
    if "top1" in mean:
        protocol = find_protocol(values[0]["protocol"])
        answers = [(one.names, _right(one, protocol)) for one in scores]
        mean["top1_interval"] = list(accuracy_interval(answers))
    return mean
