"""Evaluates optical flow against ground truth: `python -m eval flow`.

Every pair of neighboring frames with ground truth counts, in whole frames without cropping. `epe`
is the mean endpoint error over the pixels of all pairs; `epe_per_pair` averages the endpoint errors
of the pairs, as the tables of Middlebury do. `fl_all` (KITTI 2015: error above 3 px and 5 %) and
`px1`, `px3`, `px5` (error above 1, 3, 5 px) are shares of pixels. All but `epe_per_pair` are also
computed for pixels that are visible or occluded in the next frame, if the dataset has this
information, and by true speed, in Sintel's bins. Pairs without a pixel of known flow are left out
and counted.

A network of more than two frames also receives the neighbors of the pair. If the dataset has too
few frames, they are repeated to fill the clip. This lowers the quality, and the report says so.
"""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import track

from afn_jax.atomic import write_atomically
from afn_jax.data.sources import SOURCES
from afn_jax.data.sources.flow.sequence import FlowDataset
from afn_jax.data.sources.spec import SourceSpec
from afn_jax.limits import Limits, check_limits
from afn_jax.near_names import unknown_name
from eval.flow_methods import METHODS, FlowMethod, create_method
from eval.flow_pairs import (
    NOTHING_KNOWN,
    Pair,
    PairResult,
    choose_pairs,
    evaluate,
    predict_pair,
    summarize,
)
from eval.flow_report import FlowExample, write_flow_report
from train.data_record import Listed
from train.hosts.checks import check_same_videos
from train.hosts.shares import gather_shares, own_share
from train.hosts.together import leads

OPTIONS = ("render", "count_invalid", "annotations")  # fields that only some datasets have
NUMBERS = ("epe", "fl_all", "px1", "px3", "px5")


def flow_dataset_names(option: str | None = None) -> list[str]:
    """Returns the names of the datasets with true flow, or of those that have an option."""
    return [
        name
        for name, spec in SOURCES.items()
        if spec.ground_truth is not None and (option is None or option in spec.options)
    ]


def _help(text: str, option: str | None = None):
    return tyro.conf.arg(help=f"{text} ({', '.join(flow_dataset_names(option))}).")


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """Evaluates the flow of a run, or of a classical method, against ground truth."""

    dataset: Annotated[str, _help("Name of a dataset with true flow")]
    root: str
    """Folder of the dataset."""
    method: Literal["run", *METHODS] = "run"
    """A run, TV-L1 of this library, OpenCV's DIS (preset medium), or zero flow."""
    run: str = ""
    """Folder of the run, for method run."""
    render: Annotated[
        Literal["clean", "final"],
        tyro.conf.arg(name="pass"),
        _help("Rendering of the frames", "render"),
    ] = "clean"
    count_invalid: Annotated[
        bool, _help("Also count pixels whose flow is marked as invalid", "count_invalid")
    ] = False
    split: Literal["default", "train", "test", "all"] = "default"
    (
        "default: the official validation pairs, if there are any; otherwise all pairs or, for a "
        "run that was trained on this dataset, the held-out scenes."
    )
    annotations: Annotated[
        str, _help("File of the official split, if it is not beside the pairs", "annotations")
    ] = ""
    most: Annotated[int, Limits(0)] = 0
    """Number of pairs, evenly spaced; 0: all."""
    examples: Annotated[int, Limits(0)] = 3
    """Number of worst pairs, and of best pairs, to show in the report."""
    out: str = ""
    """Folder for flow.json and flow.html. Default: RUN/flow-DATASET or runs/flow-METHOD-DATASET."""


def run_flow(config: FlowConfig, console: Console | None = None) -> dict:
    """Evaluates a method, and writes `flow.json` and `flow.html`.

    Returns:
        The contents of `flow.json`.

    Raises:
        ValueError: invalid settings, a folder without the dataset, a run without flow, or no
            pair that can be used.
        CheckpointError: the run has no readable checkpoint.
    """
    console = console or Console(stderr=True)
    check_limits(config)
    method = create_method(config.method, config.run)
    split = _split(config, method)
    dataset = open_dataset(config, split)
    pairs = choose_pairs(dataset, config.most)
    check_same_videos([Listed(pair.name, None) for pair in pairs])
    own = own_share(pairs)
    shown = {"total": len(own), "console": console, "disable": not console.is_terminal}
    found = gather_shares(list(track(evaluate(method, own), **shown)))
    results = [item for item in found if isinstance(item, PairResult)]
    damaged = [item for item in found if not isinstance(item, PairResult)]
    if not results:
        raise ValueError(
            f"root: none of the {len(pairs)} pairs in {config.root!r} can be used (first: "
            f"{damaged[0].path}: {damaged[0].reason}). Check that the dataset is complete."
        )
    summary, groups = summarize(results)
    repeated = sum(result.repeated for result in results)
    counted = f"{len(results)} pair{'s' * (len(results) > 1)}"
    notes = [*method.notes(), f"{config.dataset}{_which(config)}: {counted}."]
    if config.dataset in method.trained_on:
        seen = "not trained on these pairs" if split == "test" else "trained on some of these pairs"
        notes.append(f"Split {split} of {config.dataset}: the run was {seen}.")
    unknown = sum(item.reason == NOTHING_KNOWN for item in damaged)
    if unknown:
        notes.append(f"Left out: {unknown} of {len(pairs)} pairs without a pixel of known flow.")
    with_occlusion = sum("occluded" in result.metrics for result in results)
    if 0 < with_occlusion < len(results):
        notes.append(f"Occlusions are known for {with_occlusion} of them.")
    if repeated:
        notes.append(
            f"For {repeated} of them, the dataset has too few frames for a clip of "
            f"{method.num_frames}, so frames were repeated. The network never saw repeated frames "
            "in training: the numbers do not show how it performs on video."
        )
    ranked = sorted(results, key=lambda result: -result.epe)
    worst = ranked[: config.examples]
    best = [result for result in reversed(ranked) if result not in worst][: config.examples]
    out = flow_folder(config)
    skipped = [*dataset.skipped, *damaged]
    values = {
        **summary,
        "dataset": config.dataset + _which(config),
        "method": config.method,
        "run": config.run,
        "step": method.step,
        "split": split,
        "count_invalid": config.count_invalid,
        "num_pairs": len(results),
        "repeated_pairs": repeated,
        "groups": groups,
        "pairs": [[r.name, r.epe, r.metrics["all"].compute()["fl_all"]] for r in ranked],
        "skipped": [[item.path, item.reason] for item in skipped],
        "notes": notes,
        "report": str(out / "flow.html"),
    }
    if leads():
        by_name = {pair.name: pair for pair in pairs}
        out.mkdir(parents=True, exist_ok=True)
        write_flow_report(
            out / "flow.html",
            title=f"Flow of {config.run or config.method} on {config.dataset}{_which(config)}",
            summary=summary,
            groups=groups,
            pairs=values["pairs"],
            worst=[_example(method, by_name[result.name], result) for result in worst],
            best=[_example(method, by_name[result.name], result) for result in best],
            skipped=values["skipped"],
            notes=notes,
            command=flow_command(config),
        )
        write_atomically(out / "flow.json", json.dumps(values, indent=1) + "\n")
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    if skipped:
        console.print(
            f"warning: {len(skipped)} skipped, first: {skipped[0].path} ({skipped[0].reason})",
            style="yellow",
            soft_wrap=True,
        )
    return values


def flow_line(values: dict) -> str:
    """Returns the result as one line: `epe=0.62 epe_per_pair=0.6 ... pairs=8 report=...`."""
    names = ("epe", "epe_per_pair", "zero_flow_epe", "fl_all", "px1", "px3", "px5")
    numbers = [f"{name}={values[name]:.4g}" for name in names]
    numbers += [f"epe_{group}={v['epe']:.4g}" for group, v in values["groups"].items()]
    return " ".join([*numbers, f"pairs={values['num_pairs']}", f"report={values['report']}"])


def flow_dataset(name: str) -> SourceSpec:
    """Returns the entry of `SOURCES` for a dataset with true flow.

    Raises:
        ValueError: unknown name, or a dataset without true flow; the message suggests near names.
    """
    known = flow_dataset_names()
    if name not in known:
        raise ValueError(unknown_name("dataset", name, known))
    return SOURCES[name]


def _split(config: FlowConfig, method: FlowMethod) -> str:
    if config.split != "default":
        return config.split
    official = flow_dataset(config.dataset).official_split
    return "test" if official or config.dataset in method.trained_on else "all"


def open_dataset(config: FlowConfig, split: str) -> FlowDataset:
    """Opens the dataset of the settings.

    Raises:
        ValueError: unknown dataset, an option that it does not have, or missing files.
    """
    spec, options = flow_dataset(config.dataset), {}
    for name, value, default in _fields(config):
        if name in spec.options:
            options[name] = value
        elif name in OPTIONS and value != default:
            raise ValueError(
                f"{_flag(name)}: got {value!r}, but {config.dataset} has no such option; leave it "
                "out."
            )
    return spec.ground_truth(config.root, split=split, **options)


def _example(method: FlowMethod, pair: Pair, result: PairResult) -> FlowExample:
    flow, truth, frames, _ = predict_pair(method, pair)
    numbers = result.metrics["all"].compute()
    return FlowExample(
        pair.name, frames, flow, truth.flow, truth.known, numbers["epe"], numbers["fl_all"]
    )


def _which(config: FlowConfig) -> str:
    return f", {config.render} pass" if _has_passes(config) else ""


def _has_passes(config: FlowConfig) -> bool:
    return "render" in flow_dataset(config.dataset).options


def flow_folder(config: FlowConfig) -> Path:
    """Returns the folder of `flow.json` and `flow.html`."""
    if config.out:
        return Path(config.out)
    name = config.dataset + (f"-{config.render}" if _has_passes(config) else "")
    if config.run:
        return Path(config.run) / f"flow-{name}"
    return Path(f"runs/flow-{config.method}-{name}")


def flow_command(config: FlowConfig) -> str:
    """Returns the command line for these settings."""
    words = ["python", "-m", "eval", "flow"]
    for name, value, default in _fields(config):
        if value != default:
            flag = f"--{_flag(name)}"
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)


def _fields(config: FlowConfig) -> list[tuple[str, Any, Any]]:
    """Returns the name, the value and the default of each field."""
    values = dataclasses.asdict(config)
    return [(field.name, values[field.name], field.default) for field in dataclasses.fields(config)]


def _flag(name: str) -> str:
    """Returns the name of a field on the command line."""
    return "pass" if name == "render" else name.replace("_", "-")
