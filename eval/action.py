"""Action recognition and flow of a run on its test split: `python -m eval action --run DIR`.

Protocol: K evenly spaced clips of each test video, centre crop; the class probabilities of a video
are the mean over its clips. Each video counts once, whatever the batch size and the devices.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from afn_jax.data.clip import Skipped, Source
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import ClipReader, evaluation_batches
from afn_jax.data.sources import create_source
from afn_jax.metrics import EndpointErrorMetric, PerClass, TopK
from afn_jax.ops import resize_flow
from afn_jax.types import Batch, Prediction
from eval.report import write_report
from eval.report_clips import ReportExample
from train.checkpoint import load_config, load_state
from train.config import TrainConfig
from train.loop import to_batch
from train.network import build_model
from train.objectives import flow_and_target
from train.optim import create_optimizer
from train.parallel import join_batch, predict_on, split_batch
from train.state import create_state
from train.step import make_predict
from train.writers import read_metrics, read_skipped

Predict = Callable[[np.ndarray], Prediction]


@dataclasses.dataclass(frozen=True)
class ActionConfig:
    """Evaluates the newest checkpoint of a run over its test split."""

    run: str
    """Folder of the run."""
    clips: int = 0
    """Clips a video; 0 means what the run's recipe says."""
    batch_size: int = 32
    """Clips at a time, over all devices."""
    examples: int = 8
    """Test clips shown in the report."""
    data_root: str = ""
    """Where the videos are, if not where the run found them."""


@dataclasses.dataclass(frozen=True)
class ActionResult:
    """What `evaluate` found. Scores and labels are those of the videos that could be read."""

    scores: np.ndarray | None  # [videos, classes] mean probabilities
    labels: np.ndarray  # [videos]
    videos: np.ndarray  # [videos] index in the source
    epe: float | None
    zero_flow_epe: float | None
    damaged: tuple[Skipped, ...]


def run_action(config: ActionConfig, console: Console | None = None) -> dict:
    """Evaluates a run folder; writes `eval.json` and `report.html` into it and returns the former.

    Raises:
        ValueError: not a run folder, settings that cannot be, or no test video can be decoded.
        CheckpointError: the run has no checkpoint that can be read.
    """
    console = console or Console()
    if config.clips < 0 or config.batch_size < 1 or config.examples < 0:
        raise ValueError(
            f"clips, batch_size and examples: got {config.clips}, {config.batch_size} and "
            f"{config.examples}, but clips and examples must be 0 or more, batch_size 1 or more."
        )
    run_dir = Path(config.run)
    settings = load_config(run_dir)
    if config.data_root:
        data = dataclasses.replace(settings.data, root=config.data_root)
        settings = dataclasses.replace(settings, data=data)
    source = create_source(settings.data, "test", settings.seed)
    predict, step = load_predict(run_dir, settings, len(source.class_names))
    clips = config.clips or settings.test_clips
    result = evaluate(predict, source, settings.data, clips, config.batch_size)
    if not len(result.labels):
        first = f", the first: {result.damaged[0].reason}" if result.damaged else ""
        raise ValueError(
            f"none of the {len(source)} test videos can be decoded{first}. "
            "Check that the dataset is complete and its disk is readable."
        )
    examples = example_clips(predict, source, settings.data, config.examples)
    summary = summarize(result, len(source.class_names))
    scores, labels = _classified(result, len(source.class_names))
    confusion = PerClass.from_batch(scores, labels, np.ones(len(labels), bool))
    # Those of training too, each once.
    skipped = dict.fromkeys([*read_skipped(run_dir), *source.skipped, *result.damaged])
    report = run_dir / "report.html"
    notes = [
        f"{len(result.labels)} test videos, {clips} clip(s) of {settings.data.num_frames} frames "
        f"each; step {step} of {settings.steps}."
    ]
    if result.epe is not None and not source[0].has_flow:
        notes.append(
            f"The flow target is an estimate by the teacher {settings.data.teacher!r}, "
            "so the endpoint error is the distance to the teacher."
        )
    write_report(
        report,
        title=f"{settings.recipe} ({settings.scale}): {run_dir}",
        summary=summary,
        history=read_metrics(run_dir),
        class_names=source.class_names,
        confusion=np.asarray(confusion.counts),
        examples=examples,
        skipped=[(item.path, item.reason) for item in skipped],
        command=f"python -m eval action --run {run_dir} --clips {clips}",
        notes=notes,
    )
    values = {
        **summary,
        "step": step,
        "num_videos": len(result.labels),
        "clips_per_video": clips,
        "report": str(report),
        "class_names": list(source.class_names),
        "per_class": np.asarray(confusion.compute()["per_class"]).tolist(),
        "confusion": np.asarray(confusion.counts).astype(int).tolist(),
        "skipped": [[item.path, item.reason] for item in skipped],
    }
    temporary = run_dir / "eval.tmp"
    temporary.write_text(json.dumps(values, indent=1) + "\n")
    temporary.replace(run_dir / "eval.json")
    for item in result.damaged:
        console.print(f"warning: not counted: {item.path} ({item.reason})", style="yellow")
    return values


def result_line(values: dict) -> str:
    """The one line that scripts read: `top1=0.93 chance=0.125 epe=0.31 ... report=...`."""
    numbers = [
        f"{name}={values[name]:.4g}"
        for name in ("top1", "top5", "chance", "epe", "zero_flow_epe")
        if name in values
    ]
    return " ".join([*numbers, f"report={values['report']}"])


def load_predict(run_dir: Path, settings: TrainConfig, num_classes: int) -> tuple[Predict, int]:
    """The network of a run as `predict(frames uint8 [batch, ...]) -> Prediction`, and its step."""
    model = build_model(settings, num_classes, axis_name=None)
    optimizer = create_optimizer(settings.optim, settings.steps)
    shape = (1, settings.data.num_frames, *settings.data.size, 3)
    template = create_state(model, optimizer, shape, settings.seed)
    state = load_state(run_dir, template)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    devices = jax.local_devices()
    apply = predict_on(devices, make_predict(model))

    def predict(frames: np.ndarray) -> Prediction:
        count = len(frames)
        missing = -count % len(devices)
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, 0)])
        outputs = jax.device_get(join_batch(apply(variables, split_batch(frames, len(devices)))))
        return jax.tree.map(lambda x: x[:count], outputs)

    return predict, int(state.step)


def evaluate(
    predict: Predict, source: Source, data: DataConfig, clips: int, batch_size: int
) -> ActionResult:
    """Runs the protocol of this module over every video of `source`."""
    reader = ClipReader(source, data)
    sums: dict[int, np.ndarray] = {}
    counts = np.zeros(len(source), int)
    labels = np.zeros(len(source), int)
    flow_error = None
    for batch, indices in _batches(reader, source, data, clips, batch_size):
        prediction = predict(batch.frames)
        if prediction.logits is not None:
            scores = _softmax(np.asarray(prediction.logits, np.float64))
        else:
            scores = np.zeros((len(indices), len(source.class_names)))
        for i in np.flatnonzero(batch.mask):
            video = indices[i]
            sums[video] = sums.get(video, 0) + scores[i]
            counts[video] += 1
            labels[video] = batch.labels[i]
        if prediction.flows and batch.flows is not None:
            error = EndpointErrorMetric.from_batch(*flow_and_target(prediction, batch))
            # Summed in double precision: a large test set has more pixels than float32 can count.
            error = jax.tree.map(np.float64, error)
            flow_error = error if flow_error is None else flow_error.merge(error)
    videos = np.flatnonzero(counts)
    means = np.stack([sums[i] / counts[i] for i in videos]) if len(videos) else None
    flow = flow_error.compute() if flow_error is not None else {}
    return ActionResult(
        scores=means if means is not None and means.any() else None,
        labels=labels[videos],
        videos=videos,
        epe=float(flow["epe"]) if flow else None,
        zero_flow_epe=float(flow["zero_flow_epe"]) if flow else None,
        damaged=reader.damaged,
    )


def summarize(result: ActionResult, num_classes: int) -> dict[str, float]:
    """top1, top5, chance, epe, zero_flow_epe: those that the run has."""
    summary: dict[str, float] = {}
    if result.scores is not None:
        mask = np.ones(len(result.labels), bool)
        top = TopK.from_batch(result.scores, result.labels, mask).compute()
        summary["top1"] = float(top["top1"])
        if num_classes > 5:
            summary["top5"] = float(top["top5"])
        summary["chance"] = 1.0 / num_classes
    if result.epe is not None:
        summary["epe"] = result.epe
        summary["zero_flow_epe"] = result.zero_flow_epe
    return summary


def example_clips(
    predict: Predict, source: Source, data: DataConfig, count: int
) -> list[ReportExample]:
    """`count` test clips spread over the classes, with what the network makes of them."""
    by_label: dict[int, list[int]] = {}
    for i in range(min(len(source), 4096)):
        by_label.setdefault(source[i].label, []).append(i)
    chosen = [
        videos[turn]
        for turn in range(count)
        for _, videos in sorted(by_label.items())
        if turn < len(videos)
    ][:count]
    reader = ClipReader(source, data)
    examples = []
    for number in chosen:
        example = reader.evaluation_example(number, clips_per_video=1)
        if not example["mask"]:
            continue
        frames = example["frames"]
        prediction = predict(frames[None])
        flow = None
        if prediction.flows:
            flow = np.asarray(resize_flow(prediction.flows[0][0], frames.shape[1:3]))
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
                target=example.get("flows") if flow is not None else None,
                flow_mask=example.get("flow_mask") if flow is not None else None,
            )
        )
    return examples


def _batches(
    reader: ClipReader, source: Source, data: DataConfig, clips: int, batch_size: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    batches = evaluation_batches(
        reader, len(source), data, batch_size=batch_size, clips_per_video=clips
    )
    for arrays in batches:
        yield to_batch(arrays), arrays["indices"]


def _classified(result: ActionResult, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the videos that were classified: none for a run of flow alone."""
    if result.scores is None:
        return np.zeros((0, num_classes)), np.zeros((0,), int)
    return result.scores, result.labels


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
