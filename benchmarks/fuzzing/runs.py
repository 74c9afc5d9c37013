"""Parsers of run folders and their results: settings, checkpoints, metrics, scores, study rows."""

import io
import json
import math
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.formats import npz
from benchmarks.fuzzing.mutations import json_lines, mutate_json
from benchmarks.fuzzing.parser import Files, Parser, require


def _folder(path: Path) -> Files:
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def _config_seeds() -> list[Files]:
    import train.config_file
    from train.recipes import RECIPES

    with tempfile.TemporaryDirectory() as name:
        configs = [next(iter(RECIPES["actionflownet"].values()))["toy"]]
        configs += [next(iter(RECIPES["hidden-two-stream"].values()))["paper"]]
        seeds = []
        for config in configs:
            train.config_file.save(config, Path(name) / "config.json")
            seeds.append(_folder(Path(name)))
        old = json.loads(seeds[0]["config.json"])
        old["objective"] = {"kind": "joint", "flow_weight": 1.0}
        old["init"] = {"run": "runs/a", "run_map": ["motionnet/->encoder/"]}
        return [*seeds, {"config.json": json.dumps(old).encode()}]


def _read_config(folder: Path) -> None:
    from train.checkpoint import load_config
    from train.config import TrainConfig, flatten

    config = load_config(folder)
    require(isinstance(config, TrainConfig), "settings")
    for value in flatten(config).values():
        require(isinstance(value, str | int | float | tuple | None), f"a field is {value!r}")


def _checkpoint_seeds() -> list[Files]:
    from train.checkpoint import Checkpoints
    from train.config import TrainConfig

    with tempfile.TemporaryDirectory() as name:
        checkpoints = Checkpoints(Path(name))
        for step in (1, 2):
            checkpoints.save(_state(step), {"next_index": step}, TrainConfig(recipe="toy"))
        checkpoints.close()
        both = _folder(Path(name))
        # Without an older checkpoint, damage cannot be skipped.
        return [both, {path: data for path, data in both.items() if "checkpoints/1/" not in path}]


def _state(step: int):
    import jax.numpy as jnp
    import optax

    from train.state import TrainState

    params = {"kernel": jnp.full((2, 3), float(step)), "half": jnp.ones(3, jnp.bfloat16)}
    stats = {"mean": jnp.ones(2)}
    return TrainState(jnp.int32(step), params, stats, optax.sgd(0.1, 0.9).init(params))


def _read_checkpoint(folder: Path) -> None:
    import contextlib

    import jax

    from train.checkpoint import load_state

    with contextlib.redirect_stderr(io.StringIO()):
        if sum(path.stat().st_size for path in folder.rglob("*")) % 2:
            state = load_state(folder, None)
            require(isinstance(state, dict) and "params" in state and "step" in state, "state")
            return
        template = _state(0)
        state = load_state(folder, template)
    same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, state, template)
    require(all(jax.tree.leaves(same)), "shapes and dtypes of the state")


def _record_seeds() -> list[Files]:
    from train.data_record import DataRecord, VideoDigest

    record = DataRecord(("run", "jump"), VideoDigest(9, "a" * 64), VideoDigest(3, "b" * 64), "1")
    with tempfile.TemporaryDirectory() as name:
        record.save(Path(name))
        return [_folder(Path(name))]


def _read_record(folder: Path) -> None:
    from train.data_record import read_record

    record = read_record(folder)
    if record is not None:
        require(all(isinstance(name, str) for name in record.class_names), "class names")
        require(type(record.train.count) is type(record.test.count) is int, "counts")
        require(isinstance(record.train.content, str), "digest")


def _metrics_seeds() -> list[Files]:
    rows = [
        {"step": step, "split": split, "loss": 1.5 / step, "top1": 0.25, "epe": math.nan}
        for step in (1, 2, 3)
        for split in ("train", "test")
    ]
    return [{"metrics.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}]


def _read_metrics(folder: Path) -> None:
    from train.writers import read_metrics

    for row in read_metrics(folder):
        require(isinstance(row, dict) and type(row["step"]) is int, "step of a row")
        require(isinstance(row["split"], str), "split of a row")
        numbers = [value for name, value in row.items() if name != "split"]
        require(all(isinstance(value, int | float) for value in numbers), "numbers of a row")


def _skipped_seeds() -> list[Files]:
    return [{"skipped.json": json.dumps([["a.avi", "no frame"], ["b.avi", "gone"]]).encode()}]


def _read_skipped(folder: Path) -> None:
    from afn_jax.data.source import Skipped
    from train.writers import read_skipped

    for item in read_skipped(folder):
        require(isinstance(item, Skipped) and isinstance(item.path, str), "an item")


def _scores_seeds() -> list[Files]:
    from eval.scores import Scores

    logits = np.random.default_rng(0).normal(size=(4, 3))
    powers = np.exp(logits)
    scores = Scores(
        *(logits, powers / powers.sum(-1, keepdims=True), np.array([0, 1, 2, 0])),
        *(tuple("abcd"), ("run", "jump", "sit"), np.full(4, 10), "clips", "runs/a", 50),
    )
    with tempfile.TemporaryDirectory() as name:
        scores.save(Path(name) / "scores.npz")
        return [_folder(Path(name))]


def _read_scores(folder: Path) -> None:
    from eval.scores import accuracy, load_scores

    scores = load_scores(folder)
    require(scores.logits.dtype == scores.probabilities.dtype == np.float64, "dtype of scores")
    require(scores.labels.dtype == np.int64 and scores.views.dtype == np.int64, "dtype of labels")
    require(all(isinstance(n, str) for n in (*scores.names, *scores.class_names)), "names")
    require(isinstance(scores.protocol, str) and isinstance(scores.run, str), "protocol and run")
    require(isinstance(scores.step, int), "step")
    if len(scores.names):
        require(bool(((scores.labels >= 0) & (scores.labels < len(scores.class_names))).all()), "")
        require(0 <= accuracy(scores.logits, scores.labels)["top1"] <= 1, "accuracy")


def _study_seeds() -> list[Files]:
    rows = [
        {"run": ["f", arm, "ucf", "toy", 1, seed], "settings": "abc", "numbers": {"top1": 0.5}}
        for arm in ("with", "without")
        for seed in (0, 1)
    ]
    settings = {"settings": "abc", "with": [["model.name", "resnet18"]]}
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return [{"page/results.jsonl": lines.encode(), "page/settings.jsonl": _line(settings)}]


def _line(value) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read_study(folder: Path) -> None:
    from study.results import Results

    Results(folder / "page.md")


PARSERS = [
    Parser(
        "config.json",
        "load_config",
        ("ValueError",),
        _config_seeds,
        _read_config,
        text=True,
        reshape=mutate_json,
    ),
    Parser(
        "checkpoints",
        "load_state",
        ("CheckpointError",),
        _checkpoint_seeds,
        _read_checkpoint,
        reshape=mutate_json,
        cost=10,
    ),
    Parser(
        "data record of a run",
        "read_record",
        (),
        _record_seeds,
        _read_record,
        text=True,
        reshape=mutate_json,
        mutable=(".json",),
    ),
    Parser(
        "metrics.jsonl",
        "read_metrics",
        (),
        _metrics_seeds,
        _read_metrics,
        text=True,
        reshape=json_lines,
    ),
    Parser(
        "skipped.json",
        "read_skipped",
        (),
        _skipped_seeds,
        _read_skipped,
        text=True,
        reshape=mutate_json,
    ),
    Parser(
        "scores.npz",
        "load_scores",
        ("ValueError",),
        _scores_seeds,
        _read_scores,
        reshape=npz,
        cost=2,
    ),
    Parser(
        "rows of the study", "Results", (), _study_seeds, _read_study, text=True, reshape=json_lines
    ),
]
