"""The training loop. Read it from top to bottom."""

import dataclasses
from contextlib import closing
from pathlib import Path

import jax
from rich.console import Console

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.source import unused_of
from afn_jax.data.sources import create_source
from afn_jax.data.sources.unused import as_skipped
from afn_jax.types import Batch
from train import config as config_lib
from train import config_file
from train.checkpoint import CONFIG_FILE, Checkpoints, has_checkpoint, load_config
from train.config import TrainConfig
from train.data_changes import remember_data
from train.data_checks import check_data
from train.failures import saves_on_failure, tells_what_is_saved
from train.held_out_metrics import evaluate_test_clips
from train.hosts.agreement import Agreement
from train.hosts.checks import check_same_data, check_same_settings
from train.hosts.together import (
    by_first,
    explains_lost_process,
    fails_together,
    from_first,
    gather,
    gather_skipped,
    leads,
)
from train.initialize import initialize, keep_start
from train.parallel import choose_devices, own_devices, predict_on, replicate, split_batch
from train.program import build_program
from train.run_folder import open_run_dir
from train.signals import stop_on_signals
from train.start_report import report_start
from train.state import TrainState
from train.step import make_test_step
from train.step_metrics import StepMetrics
from train.writers import MetricsWriter, NoMetrics, Terminal, add_skipped, warn_of_files


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

    With several processes (`train.hosts`), all of them call this; process 0 prints.

    Raises:
        ValueError: wrong settings, or settings that contradict the run folder or other processes.
        OtherProcessFailed: another process could not start.
        TrainingStopped: the loss is no longer finite, a disk is full, or the data cannot be read.
        CheckpointError: a checkpoint cannot be written or read.
    """
    config_lib.check(config)
    config = config_lib.without_unread_flow(config)
    devices = choose_devices(config.batch_size, config.max_devices)
    config_lib.check_parts(config, len(devices))
    config = dataclasses.replace(
        config, run_dir=config.run_dir or config_lib.default_run_dir(config)
    )
    with explains_lost_process():
        check_same_settings(config)
        with open_run_dir(config):
            return _train(
                config, devices, (console or Console()) if leads() else Console(quiet=True)
            )


def _train(config: TrainConfig, devices: list[jax.Device], console: Console) -> TrainResult:
    run_dir = Path(config.run_dir)
    own = own_devices(devices)  # those of this process
    share = {"process_index": jax.process_index(), "process_count": jax.process_count()}

    # ---------------------------------------------------------------- Data
    with fails_together():
        source = create_source(config.data, "train", config.seed)
        test_source = create_source(config.data, "test", config.seed)
        check_data(config, source, test_source)

    # ---------------------------------------------------------------- Network, objective, step
    program = build_program(config, len(source.class_names), devices)
    reader = ClipReader(source, config.data, program.flow_starts)
    test_reader = ClipReader(test_source, config.data, program.flow_starts)
    own_batch_size = config.batch_size // share["process_count"]
    iterator = train_iterator(reader, batch_size=own_batch_size, seed=config.seed, **share)

    # ---------------------------------------------------------------- State
    state = program.create_state()
    if has_checkpoint(run_dir):
        config = keep_start(config, load_config(run_dir), console)
    record = remember_data(config, source, test_source, console)
    check_same_data(record)
    by_first(config_file.save, config, run_dir / CONFIG_FILE)
    checkpoints = Checkpoints(run_dir, config.keep_checkpoints)
    state, data_state = initialize(state, config, checkpoints, console, source.class_names)
    if data_state is not None:
        iterator.set_state(data_state)
    report_start(config, state, source, test_source, devices, console, data_state)
    step = int(state.step)
    if step > config.steps:  # steps cannot be undone, so the run stays that long
        config = dataclasses.replace(config, steps=step)
        by_first(config_file.save, config, run_dir / CONFIG_FILE)
    unused = as_skipped(unused_of(source, test_source))
    skipped = gather_skipped([*source.skipped, *test_source.skipped, *unused])
    by_first(add_skipped, run_dir, skipped)

    state = replicate(from_first(state), own)
    # Processes have unequal numbers of test clips, so each evaluates on its own devices.
    test_step = predict_on(own, make_test_step(program.model, program.objective))

    # ---------------------------------------------------------------- Loop
    # Keep this order: a checkpoint is written while the iterator stands right after the step's
    # batch, and before the evaluation on test clips, which may take a long time or fail.
    writer = MetricsWriter(run_dir, step) if leads() else NoMetrics()
    terminal = Terminal(config.steps, config.batch_size, console)
    recent = StepMetrics(checkpoints, (data_state or {}).get("metrics", ()))
    agreement = Agreement(devices)
    num_damaged = 0

    def due(every: int) -> bool:
        return step > 0 and every > 0 and (step == config.steps or step % every == 0)

    def save() -> None:
        nonlocal num_damaged
        recent.wait()  # a state whose loss was not finite is never saved
        writer.flush()  # the rows before a checkpoint are not written again
        position = iterator.get_state() | {"metrics": recent.pending(), "devices": len(devices)}
        checkpoints.save(state, position, config, record)
        found, num_damaged = reader.damaged[num_damaged:], len(reader.damaged)
        if found := gather_skipped(found):
            by_first(add_skipped, run_dir, found)
            warn_of_files(console, found, "videos could not be read and were replaced")

    def test() -> None:
        with saves_on_failure(save):
            row = evaluate_test_clips(state, test_step, test_reader, config, len(own))
        writer.write(step, "test", row)
        terminal.row(step, "test", row)

    with (
        stop_on_signals() as stop,
        closing(checkpoints),
        closing(writer),
        closing(terminal),
        closing(iterator),
        tells_what_is_saved(checkpoints),
    ):
        terminal.start(step)
        if due(config.test_every) and not gather(writer.has(step, "test"))[0]:
            test()  # the run was killed after the checkpoint of this step
        while step < config.steps and not agreement.stop(stop.requested):
            try:
                with saves_on_failure(save), terminal.reading():
                    batch = Batch.from_arrays(next(iterator))
            except Exception:
                if not stop.requested:
                    raise
                # The reading processes got the signal too, and exited.
                if agreement.immediate:
                    break
                iterator.set_state(iterator.get_state())  # starts others
                batch = Batch.from_arrays(next(iterator))
            state, metrics = program.train_step(state, split_batch(batch, len(own)))
            step += 1
            recent.add(step, metrics)
            terminal.advance(step)

            if due(config.log_every):
                row = recent.mean() | terminal.speed(step)
                writer.write(step, "train", row)
                terminal.row(step, "train", row)

            with terminal.paused():
                if due(config.checkpoint_every):
                    save()
                if due(config.test_every):
                    test()
        save()

    # ---------------------------------------------------------------- End
    if step < config.steps:
        console.print(f"stopped at step {step} and saved; the same command continues from there")
    signaled = any(gather(stop.requested))
    return TrainResult(state, run_dir, step >= config.steps, signaled)
