"""Probes what a run has learned: `python -m eval probe`.

The probes are accuracy on frozen, shuffled and reversed clips (motion or appearance?), occlusion
maps (where does it look?), the error of the future flow, gains per class over another run, and
endpoint error against accuracy over several runs. They use the middle clip of each test video with
a center crop.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console

from afn_jax.atomic import write_atomically
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source
from afn_jax.limits import Limits, check_limits
from afn_jax.metrics import Mean, true_class_rank
from afn_jax.near_names import unknown_name
from afn_jax.types import Batch
from eval.example_clips import example_clips
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
from eval.run_labels import with_labels_of
from eval.scores import accuracy_interval, aligned, load_scores, softmax, unrecorded_classes
from train.checkpoint import load_config
from train.class_names import class_table, same_classes
from train.config import TrainConfig
from train.hosts.shares import gather_shares, own_batches, own_share
from train.hosts.together import by_first, gather
from train.objectives import flow_and_target


def _flow_datasets() -> dict[str, tuple[str, str]]:
    """Returns the datasets with true flow: name for the user -> (dataset, rendering of frames).

    "sintel" has the clean pass, "sintel-final" the final pass.
    """
    clean = {name: (name, "clean") for name in flow_dataset_names()}
    return clean | {f"{name}-final": (name, "final") for name in flow_dataset_names("render")}


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """Probes the newest checkpoint of a run on its test split."""

    run: str
    """Folder of the run."""
    what: tuple[Literal["motion", "occlusion", "future"], ...] = ("motion", "occlusion", "future")
    """Probes to run; those that the network cannot answer are skipped with a message."""
    against: str = ""
    (
        "Folder of another run, to report the accuracy gain of each class over it. Both runs must "
        "have been evaluated with `python -m eval action`."
    )
    runs: tuple[str, ...] = ()
    (
        "Folders of evaluated runs, to compare endpoint error and accuracy over them. RUN=FOLDER "
        "takes the endpoint error from FOLDER/flow.json, e.g. that of a classical method."
    )
    flow_dataset: Annotated[
        str,
        tyro.conf.arg(
            help="Dataset whose endpoint error, by `python -m eval flow`, is compared for runs "
            f"without FOLDER ({', '.join(_flow_datasets())}). Empty: the test clips of the run."
        ),
    ] = ""
    batch_size: Annotated[int, Limits(1)] = 32
    """Clips per batch, over all devices."""
    examples: Annotated[int, Limits(0)] = 6
    """Number of test clips with an occlusion map or a future flow in the report."""
    square: Annotated[int, Limits(0)] = 0
    """Side of the occluding square, in pixels; 0: a quarter of the shorter side (guessed)."""
    stride: Annotated[int, Limits(0)] = 0
    """Largest distance between positions of the square, in pixels; 0: half its side (guessed)."""
    data_root: str = ""
    """Folder of the videos, if they have moved since training."""
    annotations: str = ""
    """Lists of the videos, if they have moved since training."""
    classes: tuple[str, ...] = ()
    """Classes of the data to use, in the run's order: their names, or a file with one per line."""


def run_probe(config: ProbeConfig, console: Console | None = None) -> dict:
    """Probes a run, and writes `probe.json` and `probe.html` into its folder.

    Returns:
        The contents of `probe.json`.

    Raises:
        ValueError: not a run folder, invalid settings, or no test video can be decoded.
        CheckpointError: the run has no readable checkpoint.
    """
    check_limits(config)
    console = console or Console(stderr=True)
    run_dir = Path(config.run)
    settings = moved(load_config(run_dir), config.data_root, config.annotations, config.classes)
    if settings.objective.flow == "none":  # as in training: no flow is estimated by a teacher
        data = dataclasses.replace(settings.data, teacher="none")
        settings = dataclasses.replace(settings, data=data)
    if config.flow_dataset and not config.runs:
        raise ValueError(
            f"flow_dataset: got {config.flow_dataset!r} without runs; add --runs RUN RUN."
        )
    values: dict = {}
    if config.against:  # first, because it fails early
        values["class_gains"] = gains_over(run_dir, Path(config.against), console)
    if config.runs:
        # The probed run may be among them, with the folder of its flow.
        named = {Path(_run_and_flow(entry)[0]) for entry in config.runs}
        own = () if run_dir in named else (config.run,)
        values["runs"] = flow_against_accuracy((*own, *config.runs), config.flow_dataset, console)
    source = create_source(settings.data, "test", settings.seed)
    source = with_labels_of(run_dir, settings, source, console).source
    predict, values["step"] = load_predict(run_dir, settings, len(source.class_names))
    starts = starts_of(settings, len(source.class_names))
    one_piece = starts == tuple(range(len(starts)))  # not segments, or chosen frames
    clips = example_clips(
        predict, source, settings.data, config.examples, starts if one_piece else ()
    )
    if config.examples and not clips:
        raise ValueError(_none_readable(config.run))
    one = predict(np.zeros((1, settings.data.num_frames, *settings.data.size, 3), np.uint8))
    can = {
        "motion": one.logits is not None and settings.data.num_frames > 1,
        "occlusion": one.logits is not None,
        "future": len(starts) > 1 and starts == tuple(range(settings.data.num_frames)),
    }
    why = {
        "motion": "the network does not classify clips of several frames",
        "occlusion": "the network does not classify",
        "future": "the network does not predict the flow to the frame after the clip",
    }
    for name in config.what:
        if not can[name]:
            console.print(f"{name}: skipped, {why[name]}", highlight=False)
    wanted = {name for name in config.what if can[name]}
    values |= _over_test_set(predict, source, settings, config, wanted)
    if "future" in wanted and "future" not in values:
        wanted.discard("future")
        console.print("future: skipped, the test clips have no known flow", highlight=False)
    maps = []
    if "occlusion" in wanted:
        side = min(settings.data.size)
        square = config.square or max(1, side // 4)
        stride = config.stride or max(1, square // 2)
        values["occlusion"] = {"square": square, "stride": stride}
        for clip in own_share(clips):
            found = occlusion_map(
                lambda frames: softmax(np.asarray(predict(frames).logits, np.float64)),
                clip.frames,
                clip.label,
                square=square,
                stride=stride,
            )
            maps.append(spread(found, clip.frames.shape[1:3], square))
        maps = gather_shares(maps)
    report = run_dir / "probe.html"
    strips = [clip for clip in clips if "future" in wanted and clip.flow is not None]
    by_first(
        write_probe_report, report, config.run, values, source.class_names, clips, maps, strips
    )
    values["report"] = str(report)
    by_first(write_atomically, run_dir / "probe.json", json.dumps(values, indent=1) + "\n")
    return values


def probe_line(values: dict) -> str:
    """Returns the result as one line: `top1=0.93 top1_frozen=0.4 ... report=...`."""
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
    """Computes the accuracy of a run minus that of another, by class name, largest first.

    Predictions come from what the protocol of each run averages, as for its top-1 accuracy.
    """
    runs = (other, run_dir)
    streams = [dataclasses.replace(load_scores(run), run=str(run)) for run in runs]
    before, after = aligned(streams)
    for run, scores in ((other, before), (run_dir, after)):
        warn_if_older(run, scores.step, "scores.npz", console)
    unrecorded = unrecorded_classes([before, after])
    if unrecorded:
        console.print(unrecorded, style="yellow", soft_wrap=True, highlight=False, markup=False)
    if before.protocol != after.protocol:
        _warn(
            f"the gains compare two protocols, {before.protocol} of {other} and "
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
    """Collects endpoint error and accuracy of runs, with Spearman's rank correlation (Table 3).

    Args:
        entries: folders of evaluated runs, or RUN=FOLDER with the endpoint error in
            FOLDER/flow.json.
        flow_dataset: dataset of the endpoint error for runs without FOLDER, as measured by
            `python -m eval flow` in its default folder; "": the test clips of each run.
        console: prints warnings about results of older checkpoints, and about numbers that were
            measured in different ways.

    Raises:
        ValueError: an evaluation is missing.
    """
    console = console or Console(stderr=True)
    rows = []
    names: dict[str, list[str]] = {}
    protocols, measured = {}, {}  # how the accuracy and the endpoint error of each run came about
    for entry in dict.fromkeys(str(Path(entry)) for entry in entries):
        run, folder = _run_and_flow(entry)
        command = f"python -m eval flow --dataset DATASET --root DIR --run {run} --out {folder}"
        if not folder and flow_dataset:
            flow = _flow_config(flow_dataset, run)
            folder, command = str(flow_folder(flow)), flow_command(flow)
        evaluated = _read(Path(run) / "eval.json", f"python -m eval action --run {run}")
        if "top1" not in evaluated:
            raise ValueError(
                f"runs: the evaluation of {run} has no accuracy: the run does not classify."
            )
        warn_if_older(run, evaluated.get("step"), "eval.json", console)
        clips = ("dataset", "list_number", "num_videos")
        views = ("size", "protocol", "clips_per_video", "crops_per_clip")
        protocols[run] = " ".join(f"{name}={evaluated.get(name)}" for name in (*clips, *views))
        names[run] = evaluated.get("class_names", [])
        epe = evaluated.get("epe")
        measured[run] = f"the test clips of {evaluated.get('dataset')}, {evaluated.get('size')} px"
        if folder:
            flow = _read(Path(folder) / "flow.json", command)
            if flow.get("run"):
                warn_if_older(flow["run"], flow.get("step"), f"{folder}/flow.json", console)
            epe = flow.get("epe")
            measured[run] = f"{flow.get('num_pairs')} pairs of {flow.get('dataset')}"
            measured[run] += " with invalid pixels" if flow.get("count_invalid") else ""
        if epe is None:
            raise ValueError(
                f"runs: the evaluation of {run} has no endpoint error: its test clips have no flow "
                "target, or it predicts no flow. Run `python -m eval flow --dataset DATASET --root "
                f"DIR --run {run}` and add --flow-dataset DATASET. If another network or method "
                f"provides its flow, evaluate that one and give {run}=FOLDER with the folder of "
                "its flow.json."
            )
        rows.append({"run": run, "epe": epe, "top1": evaluated["top1"]})
    for what, of_run in (("accuracy", protocols), ("endpoint error", measured)):
        if len(set(of_run.values())) > 1:
            texts = "; ".join(f"{run}: {text}" for run, text in of_run.items())
            _warn(f"the {what} of the runs was measured in different ways: {texts}", console)
    (first, classes), *others = names.items()
    for run, other in others:
        if not same_classes(classes, other):
            table = class_table(classes, other, (first, run))
            _warn(f"{first} and {run} have different classes:\n{table}", console)
    correlation = rank_correlation(*([row[name] for row in rows] for name in ("epe", "top1")))
    return {"rows": rows, "rank_correlation": correlation}


def _flow_config(dataset: str, run: str) -> FlowConfig:
    """Returns the settings of the flow evaluation of a run on one of `_flow_datasets`."""
    known = _flow_datasets()
    if dataset not in known:
        raise ValueError(unknown_name("flow_dataset", dataset, known))
    name, render = known[dataset]
    return FlowConfig(name, "DIR", run=run, render=render)


def _warn(text: str, console: Console) -> None:
    console.print(f"warning: {text}", style="yellow", soft_wrap=True, highlight=False)


def _run_and_flow(entry: str) -> tuple[str, str]:
    """Splits RUN=FOLDER into (RUN, FOLDER); an existing folder with "=" in its name is a RUN."""
    if Path(entry).is_dir():
        return entry, ""
    run, _, folder = entry.partition("=")
    return run, folder


def _read(path: Path, command: str) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        raise ValueError(
            f"runs: {path.parent} has no readable {path.name}. Run `{command}` first."
        ) from None


def _none_readable(run: str) -> str:
    return (
        f"none of the test videos of {run} can be decoded. Check that the dataset is complete and "
        "its disk is readable."
    )


def _over_test_set(
    predict: Predict, source: Source, settings: TrainConfig, config: ProbeConfig, wanted: set[str]
) -> dict:
    """Runs the motion and future probes on the middle clip of every test video."""
    if not wanted & {"motion", "future"}:
        return {}
    right: dict[str, list[bool]] = {kind: [] for kind in ORDERS}
    names: list[str] = []
    errors: dict[str, Mean] = {}
    reader = ClipReader(source, settings.data)
    for arrays in own_batches(reader, config.batch_size):
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
            for name, error in future_errors(flow, target, mask).items():
                errors[name] = errors[name].merge(error) if name in errors else error
    parts = gather((right, names, errors, len(reader.damaged)))
    if sum(damaged for *_, damaged in parts) == len(source):
        raise ValueError(_none_readable(config.run))
    right = {kind: [answer for part in parts for answer in part[0][kind]] for kind in ORDERS}
    names = [name for part in parts for name in part[1]]
    errors = {}
    for name, error in (item for part in parts for item in part[2].items()):
        errors[name] = errors[name].merge(error) if name in errors else error
    values: dict = {}
    if "motion" in wanted:
        values["motion"] = {
            kind: {
                "top1": float(np.mean(answers)),
                "interval": accuracy_interval([(names, np.array(answers))]),
            }
            for kind, answers in right.items()
        }
    counted = {name: error.compute() for name, error in errors.items() if error.count}
    if counted:
        values["future"] = counted
    return values
