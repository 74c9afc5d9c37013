"""Action recognition and flow of a run on its test split: `python -m eval action --run DIR`.

How each video is looked at, and how the scores of its views become one, is the protocol's: see
`eval.protocols`. Each video counts once, whatever the batch size and the devices.

Several runs, as those of the three splits of UCF101, are evaluated in turn and averaged.
"""

import dataclasses
import itertools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from rich.console import Console

from afn_jax.atomic import write_atomically
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import evaluation_batches
from afn_jax.data.source import Skipped, Source
from afn_jax.data.sources import create_source
from afn_jax.data.transforms.views import Views
from afn_jax.metrics import EndpointErrorMetric, PerClass, true_class_rank
from afn_jax.ops import resize_flow
from afn_jax.types import Batch
from eval.predict import Predict, load_predict, moved, starts_of
from eval.protocols import Protocol, ProtocolName, find_protocol
from eval.report import write_report
from eval.report_clips import ReportExample
from eval.scores import FILE, Scores, accuracy, accuracy_interval
from train.checkpoint import load_config
from train.objectives import flow_and_target
from train.writers import read_metrics, read_skipped


@dataclasses.dataclass(frozen=True)
class ActionConfig:
    """Evaluates the newest checkpoint of a run over its test split."""

    run: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """Folder of the run; again for each other split, to average them."""
    protocol: ProtocolName = "clips"
    """clips: K evenly spaced ones, centre crop; or what a paper does."""
    clips: int = 0
    """Clips a video; 0 means what the protocol says, or for `clips` the run's recipe."""
    batch_size: int = 32
    """Clips at a time, over all devices; ten crops count as ten."""
    examples: int = 8
    """Test clips shown in the report."""
    data_root: str = ""
    """Where the videos are, if not where the run found them."""
    annotations: str = ""
    """Where their lists are, likewise."""


@dataclasses.dataclass(frozen=True)
class ActionResult:
    """What `evaluate` found, of the videos that could be read."""

    logits: np.ndarray | None  # [videos, classes] mean over the views
    probabilities: np.ndarray | None  # [videos, classes] mean over the views
    labels: np.ndarray  # [videos]
    videos: np.ndarray  # [videos] index in the source
    views: np.ndarray  # [videos] how many there were
    epe: float | None
    zero_flow_epe: float | None
    damaged: tuple[Skipped, ...]

    def scores(self, space: str) -> np.ndarray | None:
        """`logits` or `probabilities`."""
        return self.logits if space == "logits" else self.probabilities


def run_action(config: ActionConfig, console: Console | None = None) -> list[dict]:
    """Evaluates one run folder or more, and returns what it wrote into the `eval.json` of each.

    Beside it lie `report.html` and, if the run classifies, `scores.npz`. Of several runs the mean
    is added as the last element.

    Raises:
        ValueError: not a run folder, settings that cannot be, or no test video can be decoded.
        CheckpointError: a run has no checkpoint that can be read.
    """
    console = console or Console()
    if config.clips < 0 or config.batch_size < 1 or config.examples < 0:
        raise ValueError(
            f"clips, batch_size and examples: got {config.clips}, {config.batch_size} and "
            f"{config.examples}, but clips and examples must be 0 or more, batch_size 1 or more."
        )
    if not config.run:
        raise ValueError("run: got none; give the folder of a run with --run.")
    folders = [Path(run) for run in config.run]
    twice = [str(path) for path in folders if folders.count(path) > 1]
    if twice:
        raise ValueError(f"run: {twice[0]} is given more than once; give each run once.")
    find_protocol(config.protocol, config.clips)
    for path in folders:  # before the first one takes its time
        load_config(path)
    results = [_run(config, path, console) for path in folders]
    values = [value for value, _ in results]
    if len(values) > 1:
        values.append(_mean(values, [scores for _, scores in results]))
    return values


def _run(config: ActionConfig, run_dir: Path, console: Console) -> tuple[dict, Scores | None]:
    """Evaluates one run: (what is in `eval.json`, what is in `scores.npz`)."""
    settings = moved(load_config(run_dir), config.data_root, config.annotations)
    clips = config.clips or (settings.test_clips if config.protocol == "clips" else 0)
    protocol = find_protocol(config.protocol, clips)
    source = create_source(settings.data, "test", settings.seed)
    predict, step = load_predict(run_dir, settings, len(source.class_names))
    starts = starts_of(settings, len(source.class_names))
    result = evaluate(predict, source, settings.data, protocol.views, config.batch_size, starts)
    if not len(result.labels):
        first = f", the first: {result.damaged[0].reason}" if result.damaged else ""
        raise ValueError(
            f"none of the {len(source)} test videos can be decoded{first}. "
            "Check that the dataset is complete and its disk is readable."
        )
    scores = _scores(result, source, protocol, run_dir, step)
    if scores is not None:
        scores.save(run_dir / FILE)
    summary = summarize(result, len(source.class_names), protocol.space)
    confusion = _confusion(result, len(source.class_names), protocol.space)
    # Those of training too, each once.
    skipped = dict.fromkeys([*read_skipped(run_dir), *source.skipped, *result.damaged])
    notes = [
        f"{len(result.labels)} test videos, {protocol.describe()}; "
        f"{settings.data.num_frames} frames a clip; step {step} of {settings.steps}."
    ]
    if scores is not None:
        low, high = accuracy_interval([(scores.names, _right(scores, protocol))])
        notes.append(
            f"Top-1 {100 * summary['top1']:.1f} %: 95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} %, by bootstrap over the videos."
        )
    if result.epe is not None and not source[0].has_flow:
        notes.append(
            f"The flow target is an estimate by the teacher {settings.data.teacher!r}, "
            "so the endpoint error is the distance to the teacher."
        )
    words = ["python", "-m", "eval", "action", "--run", str(run_dir)]
    words += ["--protocol", protocol.name] if protocol.name != "clips" else []
    words += ["--clips", str(clips)] if clips else []
    words += ["--data-root", config.data_root] if config.data_root else []
    words += ["--annotations", config.annotations] if config.annotations else []
    report = run_dir / "report.html"
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
        notes=notes,
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
    }
    if scores is not None:
        values["top1_interval"] = [low, high]
    write_atomically(run_dir / "eval.json", json.dumps(values, indent=1) + "\n")
    for item in result.damaged:
        console.print(f"warning: not counted: {item.path} ({item.reason})", style="yellow")
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    return values, scores


def result_line(values: dict) -> str:
    """The one line that scripts read: `top1=0.93 chance=0.125 epe=0.31 ... report=...`."""
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
    """Looks at all `views` of every video of `source`; each counts once in the means of its own.

    `starts` are the frames that the network's flows start at; None: the first, the second, ...
    """
    reader = ClipReader(source, data)
    shape = (len(source), len(source.class_names))
    logits, probabilities = np.zeros(shape), np.zeros(shape)
    counts = np.zeros(len(source), int)
    labels = np.zeros(len(source), int)
    classifies = False
    flow_error = None
    batches = evaluation_batches(reader, batch_size=batch_size, views=views)
    for arrays in batches:
        batch = Batch.from_arrays(arrays)
        prediction = predict(batch.frames)
        videos = arrays["indices"][batch.mask]
        np.add.at(counts, videos, 1)
        labels[videos] = batch.labels[batch.mask]
        if prediction.logits is not None:
            classifies = True
            scores = np.asarray(prediction.logits, np.float64)[batch.mask]
            np.add.at(logits, videos, scores)
            np.add.at(probabilities, videos, _softmax(scores))
        if prediction.flows and batch.flows is not None:
            error = EndpointErrorMetric.from_batch(*flow_and_target(prediction, batch, starts))
            # Summed in double precision: a large test set has more pixels than float32 can count.
            error = jax.tree.map(np.float64, error)
            flow_error = error if flow_error is None else flow_error.merge(error)
    videos = np.flatnonzero(counts)
    number = counts[videos, None]
    classifies = classifies and len(videos) > 0
    flow = flow_error.compute() if flow_error is not None else {}
    return ActionResult(
        logits=logits[videos] / number if classifies else None,
        probabilities=probabilities[videos] / number if classifies else None,
        labels=labels[videos],
        videos=videos,
        views=counts[videos],
        epe=float(flow["epe"]) if flow else None,
        zero_flow_epe=float(flow["zero_flow_epe"]) if flow else None,
        damaged=reader.damaged,
    )


def summarize(result: ActionResult, num_classes: int, space: str) -> dict[str, float]:
    """top1, top5, chance, epe, zero_flow_epe: those that the run has."""
    summary: dict[str, float] = {}
    scores = result.scores(space)
    if scores is not None:
        summary |= accuracy(scores, result.labels) | {"chance": 1.0 / num_classes}
    if result.epe is not None:
        summary["epe"] = result.epe
        summary["zero_flow_epe"] = result.zero_flow_epe
    return summary


def example_clips(
    predict: Predict,
    source: Source,
    data: DataConfig,
    count: int,
    starts: Sequence[int] | None = None,
) -> list[ReportExample]:
    """`count` test clips spread over the classes, with what the network makes of them.

    In place of a damaged one comes the next. `starts` are as in `evaluate`; where these are not all
    frames, or all but the last, only the frames that a flow starts at are there. Without any, the
    flow is left out.
    """
    by_label: dict[int, list[int]] = {}
    for i in range(min(len(source), 4096)):
        by_label.setdefault(source[i].label, []).append(i)
    in_turn = itertools.zip_longest(*(videos for _, videos in sorted(by_label.items())))
    reader = ClipReader(source, data)
    examples = []
    for number in itertools.chain.from_iterable(in_turn):
        if len(examples) == count:
            break
        if number is None:
            continue
        example = {name: array[0] for name, array in reader.evaluation_example(number).items()}
        if not example["mask"]:
            continue
        frames = example["frames"]
        prediction = predict(frames[None])
        flow, target, flow_mask = None, example.get("flows"), example.get("flow_mask")
        times = ()
        if prediction.flows and (starts is None or len(starts)):
            flow = np.asarray(resize_flow(prediction.flows[0][0], frames.shape[1:3]))
            chosen = list(range(len(frames)) if starts is None else starts)[: len(flow)]
            if chosen != list(range(len(flow))) or len(flow) < len(frames) - 1:
                frames, times = frames[chosen], tuple(chosen)
                target, flow_mask = (x if x is None else x[chosen] for x in (target, flow_mask))
        scores = np.full(len(source.class_names), 1 / len(source.class_names))
        if prediction.logits is not None:
            scores = _softmax(np.asarray(prediction.logits[0], np.float64))
        examples.append(
            ReportExample(
                name=source[number].name,
                label=int(example["labels"]),
                scores=scores,
                frames=frames,
                flow=flow,
                target=target if flow is not None else None,
                flow_mask=flow_mask if flow is not None else None,
                times=times,
            )
        )
    return examples


def _scores(
    result: ActionResult, source: Source, protocol: Protocol, run_dir: Path, step: int
) -> Scores | None:
    if result.logits is None:
        return None
    return Scores(
        logits=result.logits,
        probabilities=result.probabilities,
        labels=result.labels,
        names=tuple(source[int(i)].name for i in result.videos),
        class_names=tuple(source.class_names),
        views=result.views,
        protocol=protocol.name,
        run=str(run_dir),
        step=step,
    )


def _right(scores: Scores, protocol: Protocol) -> np.ndarray:
    return true_class_rank(scores.in_space(protocol.space), scores.labels) < 1


def _confusion(result: ActionResult, num_classes: int, space: str) -> PerClass:
    """Counts of the videos that were classified: none for a run of flow alone."""
    scores, labels = result.scores(space), result.labels
    if scores is None:
        scores, labels = np.zeros((0, num_classes)), np.zeros((0,), int)
    return PerClass.from_batch(scores, labels, np.ones(len(labels), bool))


def _mean(values: Sequence[dict], scores: Sequence[Scores | None]) -> dict:
    """The mean over runs of the numbers that all of them have."""
    classes = {tuple(value["class_names"]) for value in values}
    if len(classes) > 1:
        raise ValueError(
            "run: the runs have other classes, so their mean means nothing. Give runs of one "
            "dataset; each has its own numbers in its eval.json."
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


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
