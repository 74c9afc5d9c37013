"""The one training loop. Read it from top to bottom."""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import evaluation_batches, train_iterator
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source, source_spec
from afn_jax.metrics import Mean
from afn_jax.types import Batch
from train import config as config_lib
from train import config_file
from train.checkpoint import CONFIG_FILE, Checkpoints, has_checkpoint
from train.config import TrainConfig
from train.data_checks import check_classes, check_overlap, check_target
from train.initialize import initialize, keep_start
from train.network import build_model, check_outputs
from train.objectives import create_objective
from train.optim import create_optimizer
from train.parallel import AXIS, local_devices, predict_on, split_batch, train_step_on
from train.param_groups import describe_groups
from train.run_folder import check_run_dir, run_lock
from train.signals import stop_on_signals
from train.state import TrainState, create_state, evaluation_variables, num_parameters
from train.step import make_test_step, make_train_step
from train.writers import MetricsWriter, Terminal, add_skipped


class TrainingStopped(Exception):
    """Training cannot continue; the message says why, what is saved and what to try."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """How a call of `train` ended."""

    state: TrainState
    run_dir: Path
    finished: bool
    """False if a signal stopped it early; it was saved."""
    signalled: bool = False
    """Whether a signal arrived, possibly after the last step."""


def train(config: TrainConfig, console: Console | None = None) -> TrainResult:
    """Trains the run that `config` describes, or continues it.

    Raises:
        ValueError: wrong settings, settings that contradict the run folder, or several hosts.
        TrainingStopped: the loss is no longer finite.
        CheckpointError: a checkpoint cannot be written or read.
    """
    console = console or Console()
    config_lib.check(config)
    config = config_lib.without_unread_flow(config)
    devices = local_devices(config.batch_size, config.max_devices)
    config_lib.check_parts(config, len(devices))

    # ---------------------------------------------------------------- Run folder
    run_dir = Path(config.run_dir or config_lib.default_run_dir(config))
    config = dataclasses.replace(config, run_dir=str(run_dir))
    check_run_dir(run_dir, config)
    with run_lock(run_dir):
        return _train(config, run_dir, devices, console)


def _train(config: TrainConfig, run_dir: Path, devices: list, console: Console) -> TrainResult:
    # ---------------------------------------------------------------- Data
    source = create_source(config.data, "train", config.seed)
    test_source = create_source(config.data, "test", config.seed)
    check_classes(source, test_source)
    if not source_spec(config.data.source).generated:
        check_overlap(source, test_source)
    check_target(config, source)
    reader = ClipReader(source, config.data)
    iterator = train_iterator(reader, batch_size=config.batch_size, seed=config.seed)

    # ---------------------------------------------------------------- Model, optimizer, state
    model = build_model(config, len(source.class_names), axis_name=AXIS)
    check_outputs(model, config)
    objective = create_objective(
        **dataclasses.asdict(config.objective), starts=model.flow_starts(config.data.num_frames)
    )
    optimizer = create_optimizer(config.optim, config.steps)
    shape = (config.batch_size, config.data.num_frames, *config.data.size, 3)
    state = create_state(model, optimizer, shape, config.seed)

    # ---------------------------------------------------------------- Parameters
    if has_checkpoint(run_dir):
        config = keep_start(config, config_file.load(run_dir / CONFIG_FILE), console)
    config_file.save(config, run_dir / CONFIG_FILE)
    checkpoints = Checkpoints(run_dir, config.keep_checkpoints)
    state, data_state = initialize(state, config, checkpoints, console)
    if data_state is not None:
        iterator.set_state(data_state)
    first_step = int(state.step)
    console.print(
        f"{run_dir}: {config.model.name}, {num_parameters(state):,} parameters; "
        f"{len(source)} training and {len(test_source)} test videos of "
        f"{len(source.class_names)} classes; {len(devices)} x {devices[0].device_kind}; "
        + (f"resumed at step {first_step}" if data_state is not None else "fresh start"),
        highlight=False,
        soft_wrap=True,
    )
    if config.optim.groups:
        groups = describe_groups(config.optim.groups, state.params)
        console.print(f"learning rates:\n{groups}", highlight=False, soft_wrap=True, markup=False)
    if first_step >= config.steps:
        console.print(f"nothing left to do: all {config.steps} steps are done", highlight=False)
    if first_step > config.steps:  # steps cannot be undone, so the run stays that long
        config = dataclasses.replace(config, steps=first_step)
        config_file.save(config, run_dir / CONFIG_FILE)
    add_skipped(run_dir, [*source.skipped, *test_source.skipped])
    for split, skipped in (("training", source.skipped), ("test", test_source.skipped)):
        if skipped:
            console.print(
                f"warning: {len(skipped)} {split} files skipped, first: "
                f"{skipped[0].path} ({skipped[0].reason})",
                style="yellow",
            )

    # ---------------------------------------------------------------- Steps
    step_of_one_device = make_train_step(
        model,
        objective,
        optimizer,
        config.augment,
        config.seed,
        groups=config.optim.groups,
        accumulate=config.optim.accumulate,
    )
    train_step = train_step_on(devices, step_of_one_device)
    test_step = predict_on(devices, make_test_step(model, objective))
    writer = MetricsWriter(run_dir, first_step)
    terminal = Terminal(config.steps, config.batch_size, console)

    # ---------------------------------------------------------------- Loop
    # Keep this order: the metrics of step n are read once step n + 1 is under way; a checkpoint is
    # written while the iterator stands right after the step's batch, and before the evaluation on
    # test clips, which may take long or fail.
    pending: tuple[int, Any] | None = None  # the step whose metrics are still being computed
    window: list[dict[str, float]] = []  # metrics since the last row
    step = first_step
    with stop_on_signals() as stop:
        terminal.start(step)
        try:
            while step < config.steps and not stop.requested:
                try:
                    batch = Batch.from_arrays(next(iterator))
                except Exception:
                    if stop.requested:  # the reading processes got the signal too, and exited
                        break
                    raise
                state, metrics = train_step(state, split_batch(batch, len(devices)))
                step += 1
                if pending is not None:
                    window.append(read_metrics(*pending, checkpoints))
                pending = (step, metrics)
                terminal.advance(step)

                if step % config.log_every == 0 or step == config.steps:
                    window.append(read_metrics(*pending, checkpoints))
                    pending = None
                    row = mean_of(window) | terminal.speed(step)
                    window = []
                    writer.write(step, "train", row)
                    terminal.row(step, "train", row)

                started = time.perf_counter()
                if step % config.checkpoint_every == 0 or step == config.steps:
                    if pending is not None:  # never save a state whose loss was not finite
                        window.append(read_metrics(*pending, checkpoints))
                        pending = None
                    checkpoints.save(state, iterator.get_state(), config)
                if config.test_every and (step % config.test_every == 0 or step == config.steps):
                    row = evaluate_test_clips(state, test_step, test_source, config, len(devices))
                    writer.write(step, "test", row)
                    terminal.row(step, "test", row)
                terminal.exclude(time.perf_counter() - started)
            if pending is not None:
                read_metrics(*pending, checkpoints)
            checkpoints.save(state, iterator.get_state(), config)
        finally:
            terminal.close()
            writer.close()
            checkpoints.close()
    if reader.damaged:
        add_skipped(run_dir, reader.damaged)
        console.print(
            f"warning: {len(reader.damaged)} videos could not be decoded and were replaced, "
            f"first: {reader.damaged[0].path} ({reader.damaged[0].reason})",
            style="yellow",
        )
    if step < config.steps:
        console.print(f"stopped at step {step} and saved; the same command continues from there")
    return TrainResult(state, run_dir, step >= config.steps, signalled=stop.requested)


def read_metrics(step: int, metrics: Any, checkpoints: Checkpoints) -> dict[str, float]:
    """Waits for the metrics of a step.

    Raises:
        TrainingStopped: the loss or its gradient is not finite.
    """
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if not (math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"])):
        saved = checkpoints.latest_step()
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise TrainingStopped(
            f"the loss or its gradient is not finite at step {step} ({terms}). "
            + (f"The checkpoint of step {saved} is intact. " if saved else "")
            + "Try a lower --optim.learning-rate, --optim.warmup-steps, or --optim.clip-norm 1"
            + (", with another --run-dir." if saved else ".")
        )
    return values


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def evaluate_test_clips(
    state: TrainState, test_step: Any, source: Source, config: TrainConfig, num_devices: int
) -> dict[str, float]:
    """Computes the metrics of `test_batches` batches of test clips, always the same ones."""
    data: DataConfig = config.data
    reader = ClipReader(source, data)
    batches: Iterator = evaluation_batches(
        reader,
        batch_size=config.batch_size,
        most=config.test_batches * config.batch_size,
    )
    variables = evaluation_variables(state)
    totals: dict[str, Mean] = {}
    for arrays in batches:
        terms = jax.device_get(
            test_step(variables, split_batch(Batch.from_arrays(arrays), num_devices))
        )
        for name, term in terms.items():
            # Summed in double precision, over the devices and the batches.
            term = jax.tree.map(lambda x: float(x.sum()), term)
            totals[name] = totals[name].merge(term) if name in totals else term
    return {name: total.compute() for name, total in totals.items()}
