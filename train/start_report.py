"""What a run prints before its first step."""

from typing import Any

import jax
from rich.console import Console

from afn_jax.data.source import Source, unused_of
from afn_jax.data.sources.identity import encodings_line
from afn_jax.data.sources.lists.video_list import alike_line
from afn_jax.data.sources.unused import unused_line
from train.config import TrainConfig
from train.param_groups import describe_groups
from train.state import TrainState, num_parameters
from train.writers import warn_of_files


def report_start(
    config: TrainConfig,
    state: TrainState,
    source: Source,
    test_source: Source,
    devices: list[jax.Device],
    console: Console,
    position: dict[str, Any] | None,
) -> None:
    """Prints the network, the data, the devices, the step, learning rates and files not used.

    Args:
        config: the settings of the run.
        state: the state before the first step.
        source: the training videos.
        test_source: the test videos.
        devices: the devices to train on, of all processes.
        console: where to print.
        position: from the checkpoint that the run continues; None if it starts now.
    """
    step = int(state.step)
    console.print(
        f"{config.run_dir}: {config.model.name}, {num_parameters(state):,} parameters; "
        f"{len(source)} training and {len(test_source)} test videos of "
        f"{len(source.class_names)} classes; {describe_devices(devices)}; "
        + ("fresh start" if position is None else f"resumed at step {step}"),
        highlight=False,
        soft_wrap=True,
    )
    before = (position or {}).get("devices", len(devices))
    if before != len(devices):
        console.print(
            f"random draws differ from here on: the checkpoint is from {before} devices, and each "
            "device draws its own dropout and augmentation; the batches stay the same",
            highlight=False,
            soft_wrap=True,
        )
    if config.optim.groups:
        groups = describe_groups(config.optim.groups, state.params)
        console.print(f"learning rates:\n{groups}", highlight=False, soft_wrap=True, markup=False)
    if step >= config.steps:
        console.print(f"nothing left to do: all {config.steps} steps are done", highlight=False)
    report_files(config.data.root, source, test_source, console)


def describe_devices(devices: list[jax.Device]) -> str:
    """Describes devices in short, e.g. "2 processes x 4 x NVIDIA H100"."""
    processes = len({device.process_index for device in devices})
    each = f"{len(devices) // processes} x {devices[0].device_kind}"
    return each if processes == 1 else f"{processes} processes x {each}"


def report_files(root: str, source: Source, test_source: Source, console: Console) -> None:
    """Prints which files of the dataset below `root` are skipped, doubled or not used."""
    warn_of_files(console, source.skipped, "training files skipped")
    warn_of_files(console, test_source.skipped, "test files skipped")
    if line := alike_line(source.class_names):
        console.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False)
    for split, videos in (("training", source), ("test", test_source)):
        if line := encodings_line(videos, split):
            console.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False)
    if line := unused_line(unused_of(source, test_source)):
        console.print(f"{root}: {line}", highlight=False, soft_wrap=True, markup=False)
