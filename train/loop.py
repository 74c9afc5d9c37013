"""The training loop. Read it from top to bottom."""

import dataclasses
from contextlib import closing
from pathlib import Path

import jax
from rich.console import Console

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.sources import create_source
from afn_jax.types import Batch
from train import config as config_lib
from train import config_file
from train.checkpoint import CONFIG_FILE, Checkpoints, has_checkpoint, load_config
from train.config import TrainConfig
from train.data_checks import check_data
from train.held_out_metrics import evaluate_test_clips
from train.initialize import initialize, keep_start
from train.network import build_model, check_outputs
from train.objectives import create_objective
from train.optim import create_optimizer
from train.parallel import AXIS, local_devices, predict_on, replicate, split_batch, train_step_on
from train.run_folder import check_run_dir, run_lock
from train.signals import stop_on_signals
from train.start_report import report_start
from train.state import TrainState, create_state
from train.step import make_test_step, make_train_step
from train.step_metrics import StepMetrics
from train.writers import MetricsWriter, Terminal, add_skipped, warn_of_files


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Result of a call to `train`."""

    state: TrainState
    run_dir: Path
    finished: bool
    """False if a signal stopped the run early; its state was saved."""
    signaled: bool = False
    """Whether a signal arrived, possibly after the last step."""


def train(config: TrainConfig, console: Console | None = None) -> TrainResult:
    """Trains the run that `config` describes, or continues it.

    Raises:
        ValueError: wrong settings, settings that contradict the run folder, or several hosts.
        TrainingStopped: the loss is no longer finite.
        CheckpointError: a checkpoint cannot be written or read.
    """
    config_lib.check(config)
    config = config_lib.without_unread_flow(config)
    devices = local_devices(config.batch_size, config.max_devices)
    config_lib.check_parts(config, len(devices))
    config = dataclasses.replace(
        config, run_dir=config.run_dir or config_lib.default_run_dir(config)
    )
    check_run_dir(Path(config.run_dir), config)
    with run_lock(Path(config.run_dir)):
        return _train(config, devices, console or Console())


def _train(config: TrainConfig, devices: list[jax.Device], console: Console) -> TrainResult:
    run_dir = Path(config.run_dir)

    # ---------------------------------------------------------------- Data
    source = create_source(config.data, "train", config.seed)
    test_source = create_source(config.data, "test", config.seed)
    check_data(config, source, test_source)
    reader = ClipReader(source, config.data)
    iterator = train_iterator(reader, batch_size=config.batch_size, seed=config.seed)

    # ---------------------------------------------------------------- Model, objective, optimizer
    model = build_model(config, len(source.class_names), axis_name=AXIS)
    check_outputs(model, config)
    objective = create_objective(
        **dataclasses.asdict(config.objective), starts=model.flow_starts(config.data.num_frames)
    )
    optimizer = create_optimizer(config.optim, config.steps)

    # ---------------------------------------------------------------- State
    shape = (config.batch_size, config.data.num_frames, *config.data.size, 3)
    state = create_state(model, optimizer, shape, config.seed)
    if has_checkpoint(run_dir):
        config = keep_start(config, load_config(run_dir), console)
    config_file.save(config, run_dir / CONFIG_FILE)
    checkpoints = Checkpoints(run_dir, config.keep_checkpoints)
    state, data_state = initialize(state, config, checkpoints, console)
    if data_state is not None:
        iterator.set_state(data_state)
    report_start(config, state, source, test_source, devices, console, fresh=data_state is None)
    step = int(state.step)
    if step > config.steps:  # steps cannot be undone, so the run stays that long
        config = dataclasses.replace(config, steps=step)
        config_file.save(config, run_dir / CONFIG_FILE)
    add_skipped(run_dir, [*source.skipped, *test_source.skipped])

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
    state = replicate(state, devices)
    test_step = predict_on(devices, make_test_step(model, objective))

    # ---------------------------------------------------------------- Loop
    # Keep this order: a checkpoint is written while the iterator stands right after the step's
    # batch, and before the evaluation on test clips, which may take a long time or fail.
    writer = MetricsWriter(run_dir, step)
    terminal = Terminal(config.steps, config.batch_size, console)
    recent = StepMetrics(checkpoints)
    with stop_on_signals() as stop, closing(checkpoints), closing(writer), closing(terminal):
        terminal.start(step)
        while step < config.steps and not stop.requested:
            try:
                batch = Batch.from_arrays(next(iterator))
            except Exception:
                if stop.requested:  # the reading processes got the signal too, and exited
                    break
                raise
            state, metrics = train_step(state, split_batch(batch, len(devices)))
            step += 1
            recent.add(step, metrics)
            terminal.advance(step)
            last = step == config.steps

            if last or step % config.log_every == 0:
                row = recent.mean() | terminal.speed(step)
                writer.write(step, "train", row)
                terminal.row(step, "train", row)

            with terminal.paused():
                if last or step % config.checkpoint_every == 0:
                    recent.wait()  # a state whose loss was not finite is never saved
                    checkpoints.save(state, iterator.get_state(), config)
                if config.test_every and (last or step % config.test_every == 0):
                    row = evaluate_test_clips(state, test_step, test_source, config, len(devices))
                    writer.write(step, "test", row)
                    terminal.row(step, "test", row)
        recent.wait()
        checkpoints.save(state, iterator.get_state(), config)

    # ---------------------------------------------------------------- End
    if reader.damaged:
        add_skipped(run_dir, reader.damaged)
        warn_of_files(console, reader.damaged, "videos could not be decoded and were replaced")
    if step < config.steps:
        console.print(f"stopped at step {step} and saved; the same command continues from there")
    return TrainResult(state, run_dir, step >= config.steps, signaled=stop.requested)
