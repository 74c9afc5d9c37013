"""What a run has learned: `python -m eval probe --run DIR`.

Accuracy on frozen, shuffled and reversed clips (motion or appearance?), occlusion maps (where does
it look?), the quality of the future flow, class-wise gains over another run, and endpoint error
against accuracy over several runs. One middle clip of each test video, centre crop.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from afn_jax.atomic import write_atomically
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import evaluation_batches
from afn_jax.data.sources import SOURCES, create_source
from afn_jax.metrics import true_class_rank
from afn_jax.near_names import unknown_name
from afn_jax.types import Batch
from eval.action import example_clips
from eval.flow import FlowConfig, flow_command, flow_dataset_names, flow_folder
from eval.freshness import warn_if_older
from eval.predict import Predict, load_predict, moved, starts_of
from eval.probe_report import write_probe_report
from eval.probes import (
    ORDERS,
    class_gains,
    future_errors,
    occlusion_map,
    rank_correlation,
    reordered,
    spread,
)
from eval.protocols import find_protocol
from eval.scores import accuracy_interval, aligned, load_scores
from train.checkpoint import load_config
from train.objectives import flow_and_target


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """Probes the newest checkpoint of a run on its test split."""

    run: str
    """Folder of the run."""
    what: tuple[Literal["motion", "occlusion", "future"], ...] = ("motion", "occlusion", "future")
    """Which probes; those that the network cannot answer are left out, with a line that says so."""
    against: str = ""
    """Folder of another run: class-wise gains over it. Both need `python -m eval action` first."""
    runs: tuple[str, ...] = ()
    """Folders of evaluated runs: endpoint error against accuracy over them. RUN=FOLDER takes the
    error from the flow.json in FOLDER, as of a classical method or of the flow network before."""
    flow_dataset: str = ""
    """For runs without FOLDER: take the error of `python -m eval flow --dataset` of this name, as
    sintel (Table 3; its final pass is sintel-final); default: that of the test clips."""
    batch_size: int = 32
    """Clips at a time, over all devices."""
    examples: int = 6
    """Test clips with an occlusion map or a future flow in the report."""
    square: int = 0
    """Side of the occluding square, in pixels; 0 means a quarter of the shorter side (guessed)."""
    stride: int = 0
    """Pixels from one place of it to the next; 0 means half of its side (guessed)."""
    data_root: str = ""
    """Where the videos are, if not where the run found them."""
    annotations: str = ""
    """Where their lists are, likewise."""


def run_probe(config: ProbeConfig, console: Console | None = None) -> dict:
    """Probes, writes `probe.json` and `probe.html` into the run's folder, returns the numbers.

    Raises:
        ValueError: no run, or settings that do not fit it.
        CheckpointError: no readable checkpoint.
    """
    console = console or Console(stderr=True)
    run_dir = Path(config.run)
    settings = moved(load_config(run_dir), config.data_root, config.annotations)
    if settings.objective.flow == "none":  # as in training: nobody reads a teacher's flow
        data = dataclasses.replace(settings.data, teacher="none")
        settings = dataclasses.replace(settings, data=data)
    if config.flow_dataset and not config.runs:
        raise ValueError(
            f"flow_dataset: got {config.flow_dataset!r} without runs; give the runs to compare."
        )
    values: dict = {}
    if config.against:  # first: these fail early
        values["class_gains"] = gains_over(run_dir, Path(config.against), console)
    if config.runs:
        # A run may be among them with the folder of its flow.
        named = {Path(_run_and_flow(entry)[0]) for entry in config.runs}
        own = () if run_dir in named else (config.run,)
        values["runs"] = flow_against_accuracy((*own, *config.runs), config.flow_dataset, console)
    source = create_source(settings.data, "test", settings.seed)
    predict, values["step"] = load_predict(run_dir, settings, len(source.class_names))
    starts = starts_of(settings, len(source.class_names))
    # A network whose flows are not those of all frames one after the other sees no future.
    all_frames = starts == tuple(range(settings.data.num_frames))
    clips = example_clips(
        predict, source, settings.data, config.examples, starts if all_frames else ()
    )
    if config.examples and not clips:
        raise ValueError(f"run: not one test video of {config.run} can be read.")
    one = predict(np.zeros((1, settings.data.num_frames, *settings.data.size, 3), np.uint8))
    can = {
        "motion": one.logits is not None and settings.data.num_frames > 1,
        "occlusion": one.logits is not None,
        "future": all_frames and bool(one.flows) and one.flows[0].shape[1] == len(starts),
    }
    why = {
        "motion": "it does not classify clips of several frames",
        "occlusion": "it does not classify",
        "future": "it predicts no flow to the frame after the clip",
    }
    for name in config.what:
        if not can[name]:
            console.print(f"{name}: left out, {why[name]}", highlight=False)
    wanted = {name for name in config.what if can[name]}
    values |= _over_test_set(predict, source, settings, config.batch_size, wanted)
    if "future" in wanted and "future" not in values:
        wanted.discard("future")
        console.print("future: left out, the test clips have no flow target", highlight=False)
    maps = []
    if "occlusion" in wanted:
        side = min(settings.data.size)
        square = config.square or max(1, side // 4)
        stride = config.stride or max(1, square // 2)
        values["occlusion"] = {"square": square, "stride": stride}
        for clip in clips:
            found = occlusion_map(
                lambda frames: _probabilities(predict(frames)),
                clip.frames,
                clip.label,
                square=square,
                stride=stride,
            )
            maps.append(spread(found, clip.frames.shape[1:3], square))
    report = run_dir / "probe.html"
    strips = [clip for clip in clips if "future" in wanted and clip.flow is not None]
    write_probe_report(report, config.run, values, source.class_names, clips, maps, strips)
    values["report"] = str(report)
    write_atomically(run_dir / "probe.json", json.dumps(values, indent=1) + "\n")
    return values


def probe_line(values: dict) -> str:
    """The one line that scripts read."""
    numbers = {}
    for kind, found in values.get("motion", {}).items():
        numbers["top1" if kind == "as it is" else f"top1_{kind}"] = found["top1"]
    for name, error in values.get("future", {}).items():
        numbers[f"epe_{name}"] = error
    if "runs" in values:
        numbers["rank_correlation"] = values["runs"]["rank_correlation"]
    texts = [f"{name}={value:.4g}" for name, value in numbers.items()]
    return " ".join([*texts, f"report={values['report']}"])


def gains_over(run_dir: Path, other: Path, console: Console) -> dict[str, float]:
    """Accuracy of this run minus that of the other by class name, the largest first.

    Both are ranked by what their protocol averages, as their top-1 is.
    """
    before, after = aligned([load_scores(other), load_scores(run_dir)])
    for run, scores in ((other, before), (run_dir, after)):
        warn_if_older(run, scores.step, "scores.npz", console)
    if before.protocol != after.protocol:
        _warn(
            f"gains are between two protocols, {before.protocol} of {other} and "
            f"{after.protocol} of {run_dir}",
            console,
        )
    right = [
        true_class_rank(scores.in_space(find_protocol(scores.protocol).space), scores.labels) < 1
        for scores in (before, after)
    ]
    gains = class_gains(*right, before.labels, len(before.class_names))
    named = zip(before.class_names, gains.tolist(), strict=True)
    return dict(sorted((pair for pair in named if np.isfinite(pair[1])), key=lambda pair: -pair[1]))


def flow_against_accuracy(
    entries: tuple[str, ...], flow_dataset: str = "", console: Console | None = None
) -> dict:
    """Endpoint error and accuracy of evaluated runs, and Spearman's correlation (Table 3).

    Args:
        entries: folders of runs, or RUN=FOLDER, whose flow.json has the endpoint error.
        flow_dataset: of the others the error is that of `python -m eval flow` on it, in the folder
            where that writes it; "": of their test clips.
        console: is told what was not measured alike, or of an older checkpoint.

    Raises:
        ValueError: something was not evaluated.
    """
    console = console or Console(stderr=True)
    rows = []
    protocols, measured = {}, {}  # what each run was evaluated with
    for entry in dict.fromkeys(str(Path(entry)) for entry in entries):
        run, folder = _run_and_flow(entry)
        command = f"python -m eval flow --dataset DATASET --root DIR --run {run} --out {folder}"
        if not folder and flow_dataset:
            flow = _flow_config(flow_dataset, run)
            folder, command = str(flow_folder(flow)), flow_command(flow)
        evaluated = _read(Path(run) / "eval.json", f"python -m eval action --run {run}")
        if "top1" not in evaluated:
            raise ValueError(
                f"runs: the evaluation of {run} has no accuracy; it does not classify."
            )
        warn_if_older(run, evaluated.get("step"), "eval.json", console)
        clips = ("dataset", "list_number", "num_videos")
        views = ("size", "protocol", "clips_per_video", "crops_per_clip")
        protocols[run] = " ".join(f"{name}={evaluated.get(name)}" for name in (*clips, *views))
        epe = evaluated.get("epe")
        measured[run] = f"the test clips of {evaluated.get('dataset')}, {evaluated.get('size')} px"
        if folder:
            flow = _read(Path(folder) / "flow.json", command)
            if flow.get("run"):
                warn_if_older(flow["run"], flow.get("step"), f"{folder}/flow.json", console)
            epe = flow.get("epe")
            measured[run] = f"{flow.get('num_pairs')} pairs of {flow.get('dataset')}"
            measured[run] += ", invalid pixels too" if flow.get("count_invalid") else ""
        if epe is None:
            raise ValueError(
                f"runs: the evaluation of {run} has no endpoint error: its test clips have no flow "
                "target, or it predicts no flow. Evaluate flow with `python -m eval flow --dataset "
                f"sintel --root SINTEL --run {run}`, or the network whose flow it sees, and add "
                "--flow-dataset sintel, or give RUN=FOLDER, the folder of that flow.json."
            )
        rows.append({"run": run, "epe": epe, "top1": evaluated["top1"]})
    for what, of_run in (("accuracy", protocols), ("endpoint error", measured)):
        if len(set(of_run.values())) > 1:
            texts = "; ".join(f"{run}: {text}" for run, text in of_run.items())
            _warn(f"the {what} of the runs is not measured alike: {texts}", console)
    correlation = rank_correlation(*([row[name] for row in rows] for name in ("epe", "top1")))
    return {"rows": rows, "rank_correlation": correlation}


def _flow_config(dataset: str, run: str) -> FlowConfig:
    """Returns the settings of the evaluation of a run on a dataset with true flow.

    "sintel" is its clean pass, "sintel-final" its final pass.
    """
    known = {name: (name, "clean") for name in flow_dataset_names()}
    finals = {
        f"{name}-final": (name, "final") for name in known if "render" in SOURCES[name].options
    }
    known |= finals
    if dataset not in known:
        raise ValueError(unknown_name("flow_dataset", dataset, known))
    name, render = known[dataset]
    return FlowConfig(name, "DIR", run=run, render=render)


def _warn(text: str, console: Console) -> None:
    console.print(f"warning: {text}", style="yellow", soft_wrap=True, highlight=False)


def _run_and_flow(entry: str) -> tuple[str, str]:
    """RUN=FOLDER -> (RUN, FOLDER); a folder whose own name has a "=" is a RUN."""
    if Path(entry).is_dir():
        return entry, ""
    run, _, folder = entry.partition("=")
    return run, folder


def _read(path: Path, command: str) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        raise ValueError(
            f"runs: {path.parent} has no readable {path.name}. Run `{command}`."
        ) from None


def _over_test_set(predict: Predict, source, settings, batch_size: int, wanted: set[str]) -> dict:
    """The motion and future probes, over the middle clip of every test video."""
    if not wanted & {"motion", "future"}:
        return {}
    right: dict[str, list[bool]] = {kind: [] for kind in ORDERS}
    names: list[str] = []
    errors: dict[str, np.ndarray] = {}
    reader = ClipReader(source, settings.data)
    batches = evaluation_batches(reader, batch_size=batch_size)
    for arrays in batches:
        batch = Batch.from_arrays(arrays)
        counted = batch.mask
        if not counted.any():
            continue
        prediction = predict(batch.frames)
        if "motion" in wanted:
            videos = arrays["indices"]
            names += [source[int(i)].name for i in videos[counted]]
            for kind in ORDERS:
                logits = prediction.logits
                if kind != ORDERS[0]:
                    logits = predict(reordered(batch.frames, kind, videos)).logits
                is_right = np.asarray(logits).argmax(-1) == batch.labels
                right[kind] += is_right[counted].tolist()
        if "future" in wanted and batch.flows is not None:
            flow, target, mask = (np.asarray(x) for x in flow_and_target(prediction, batch))
            for name, found in future_errors(flow, target, mask).items():
                errors[name] = errors.get(name, 0) + np.array(found, np.float64)
    values: dict = {}
    if "motion" in wanted:
        values["motion"] = {
            kind: {
                "top1": float(np.mean(answers)),
                "interval": accuracy_interval([(names, np.array(answers))]),
            }
            for kind, answers in right.items()
        }
    if errors:
        values["future"] = {name: total / max(n, 1) for name, (total, n) in errors.items()}
    return values


def _probabilities(prediction) -> np.ndarray:
    logits = np.asarray(prediction.logits, np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
