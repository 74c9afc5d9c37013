"""Measures how many processor cores have to read, so that a GPU does not wait for clips.

    python -m train RECIPE --stage all --plan h100 --plan-out RECIPE.json       once per recipe
    python -m benchmarks.data_loading VIDEOS RECIPE.json [RECIPE.json ...]

VIDEOS has a folder of videos per class. They stand for the dataset of each recipe: its clips are
cut from them as its training would, from the files themselves and from shards that are prepared
from them. Both are read alternately on one thread, the same clips; what counts is processor time,
which other programs disturb little. The cores are that time per clip times the clips per second
that the device needs. The plan estimates those from the device's published peaks, so a real device
needs fewer: take the cores as an upper limit. Stages that read alike are measured once.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.sources import create_source
from train.config import TrainConfig, without_unread_flow
from train.network import build_model, predicted_starts
from train.recipes import RECIPES

WARM_UP = 3  # clips of each kind that are not counted


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a stage reads: how clips are cut, and which flows are used."""

    data: DataConfig
    flow_starts: tuple[int, ...]

    def same_clips(self) -> "Reading":
        """The same without what does not change how long a clip takes: where the videos lie."""
        plain = dataclasses.replace(self.data, source="", root="", annotations="", classes=())
        return dataclasses.replace(self, data=dataclasses.replace(plain, list_number=1))


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Processor time per clip, in seconds."""

    files: float
    shards: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", help="folder with a folder of videos per class")
    parser.add_argument("plans", nargs="+", help="plan.json files of python -m train ... --plan")
    parser.add_argument("--clips", type=int, default=24, help="clips to read per kind of clip")
    options = parser.parse_args(arguments)
    if options.clips < 1:
        parser.error(f"--clips: got {options.clips}; give 1 or more")
    try:
        plans = [plan for path in options.plans for plan in read_plans(Path(path))]
        with tempfile.TemporaryDirectory(prefix="afn_jax-shards-") as folder:
            report(plans, options.videos, Path(folder), options.clips)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def read_plans(path: Path) -> list[dict[str, Any]]:
    """Reads the stages of a plan.json file.

    Raises:
        ValueError: it is not one.
    """
    try:
        plans = json.loads(path.read_text())["plans"]
        return [plan for plan in plans if RECIPES[plan["recipe"]][plan["stage"]][plan["scale"]]]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a plan of python -m train RECIPE --plan TARGET ({error!r})"
        ) from error


def report(plans: Sequence[dict[str, Any]], videos: str, folder: Path, clips: int) -> None:
    """Prints the table, a row as soon as it is measured."""
    measured: dict[Reading, Seconds | str] = {}
    print("| recipe | stage | clips/s needed | ms from files | cores | ms from shards | cores |")
    print("|---|---|---|---|---|---|---|")
    for plan in plans:
        config = RECIPES[plan["recipe"]][plan["stage"]][plan["scale"]]
        reading = reading_of(config)
        key = reading.same_clips()
        if key not in measured:
            measured[key] = measure(reading, videos, folder, clips)
        print(_row(plan, measured[key]), flush=True)


def _row(plan: dict[str, Any], seconds: Seconds | str) -> str:
    needed = plan.get("estimate", {}).get("clips_per_second")
    cells = [plan["recipe"], plan["stage"] or "-", "-" if needed is None else f"{needed:.0f}"]
    if isinstance(seconds, str):
        return f"| {' | '.join([*cells, seconds, '', '', ''])} |"
    for each in (seconds.files, seconds.shards):
        cells += [f"{1000 * each:.1f}", "-" if needed is None else f"{needed * each:.1f}"]
    return f"| {' | '.join(cells)} |"


def reading_of(config: TrainConfig) -> Reading:
    """Returns what the training of a stage reads."""
    config = without_unread_flow(config)
    model = build_model(config, 101, axis_name=None)
    return Reading(config.data, predicted_starts(model, config))


def measure(reading: Reading, videos: str, folder: Path, clips: int) -> Seconds | str:
    """Measures the reading of clips from files and from shards; or tells why it cannot."""
    if reading.data.crop == "flownet":
        return "pairs of pictures, not videos"
    data = dataclasses.replace(reading.data, source="video-folder", root=videos, annotations="")
    data = dataclasses.replace(data, classes=(), list_number=1)
    shards = dataclasses.replace(data, source="shards", root=str(prepared(data, folder)))
    readers = [
        ClipReader(create_source(settings, "train", 0), settings, reading.flow_starts)
        for settings in (data, shards)
    ]
    times = np.zeros((WARM_UP + clips, 2))
    for clip in range(WARM_UP + clips):
        for kind, reader in enumerate(readers):
            rng = np.random.default_rng(clip)
            video = int(rng.integers(len(reader.source)))
            started = time.process_time()
            reader.training_example(video, rng)
            times[clip, kind] = time.process_time() - started
    files, from_shards = times[WARM_UP:].mean(0)
    return Seconds(float(files), float(from_shards))


def prepared(data: DataConfig, folder: Path) -> Path:
    """Prepares the shards that a stage would read, unless they are there.

    Raises:
        ValueError: they cannot be prepared.
    """
    flow = data.teacher if data.teacher in ("dis", "tvl1") else "none"
    output = folder / f"{data.short_side}-{flow}-{data.stride if flow != 'none' else 1}"
    if output.exists():
        return output
    command = [sys.executable, "-m", "afn_jax.data.prepare", str(output)]
    command += ["--data", "video-folder", "--data.root", data.root, "--splits", "train"]
    command += ["--data.short-side", str(data.short_side), "--flow", flow]
    command += ["--flow-stride", str(data.stride)] if flow != "none" else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{data.root} cannot be prepared: {done.stderr.strip()[-500:]}")
    return output


if __name__ == "__main__":
    sys.exit(main())
