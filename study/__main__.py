"""`python -m study [FINDING ...] [--data NAME --root DIR] [--seeds N] [--minutes M]`."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from train.errors import exit_cleanly

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


DONE, TIME_IS_OVER, STOPPED = 0, 3, 130  # exit codes


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Runs the smallest honest experiment for each finding, and writes docs/reproduction.md."""

    findings: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Which findings; none means all that the data is for. --list names them."""
    data: str = "synthetic-motion"
    """synthetic-motion; arid6; or a name for videos that are split by groups, as ut-interaction."""
    root: str = ""
    """Folder of the videos."""
    seeds: int = 0
    """Seeds of each arm (in each group of videos). 0: 3 at scale cpu, 5 at scale gpu."""
    minutes: float = 50.0
    """No new run is begun after so many minutes; the exit code is then 3."""
    scale: Literal["auto", "cpu", "gpu"] = "auto"
    """cpu: the recipes' toy scales; gpu: larger clips and networks, ten times the steps.
    auto: gpu where JAX finds a GPU or a TPU."""
    folder: str = "runs/study"
    """Where the runs are kept."""
    page: str = "docs/reproduction.md"
    """The report. The numbers are in a folder of its name, so a study goes on from a clone too."""
    list: bool = False
    """Only list the findings."""
    report_only: bool = False
    """Only write the page, from the results that there are."""


def main() -> int:
    config = tyro.cli(StudyConfig, prog="python -m study")
    with exit_cleanly():
        from study.findings import FINDINGS

        if config.list:
            for key, finding in FINDINGS.items():
                videos = " (videos too)" if finding.on_videos else ""
                print(f"{key:12} {finding.paper}: {finding.says}{videos}")
            return 0
        unknown = sorted(set(config.findings) - set(FINDINGS))
        if unknown:
            raise ValueError(f"findings: got {unknown[0]!r}, allowed are {', '.join(FINDINGS)}.")
        if config.seeds < 0:
            raise ValueError(
                f"seeds: got {config.seeds}; give 1 or more, 3 for an interval, or 0 for the usual."
            )
        import jax

        from study.results import Results

        results, code = Results(Path(config.page)), DONE
        if not config.report_only:
            from study.data import open_data
            from train.accelerator import start_jax

            start_jax(".cache/jax")
            config = for_backend(config, jax.default_backend())
            data = open_data(config.data, config.root, Path(config.folder))
            code = study(config, data, results)
        results.write_page()
        print(f"report={config.page}")
    return code


def for_backend(config: StudyConfig, backend: str) -> StudyConfig:
    """What is left to the machine, filled in."""
    scale = config.scale
    if scale == "auto":
        scale = "cpu" if backend == "cpu" else "gpu"
    seeds = config.seeds or {"cpu": 3, "gpu": 5}[scale]
    return dataclasses.replace(config, scale=scale, seeds=seeds)


def study(config: StudyConfig, data, results) -> int:
    """All runs that are missing, a seed at a time over all findings.

    Returns:
        The exit code: DONE, TIME_IS_OVER or STOPPED.
    """
    import jax

    from study.findings import FINDINGS, Fused
    from study.report import DIVERGED
    from study.runs import Place, Stopped, fused_arm, run_arm
    from study.settings import settings_of
    from train.loop import TrainingStopped

    console = Console()
    chosen = config.findings or [
        key for key, finding in FINDINGS.items() if finding.on_videos or not data.root
    ]
    end = time.monotonic() + 60 * config.minutes
    for seed in range(config.seeds):
        for fold in data.folds:
            place = Place(Path(config.folder), data, fold, seed, config.scale)
            for key in chosen:
                for name, arm in FINDINGS[key].arms.items():
                    settings = settings_of(arm, FINDINGS[key].arms, place)
                    if results.has(key, name, place, settings):
                        continue
                    if time.monotonic() > end:
                        console.print(
                            f"{config.minutes:g} minutes are over; the same command goes on"
                        )
                        return TIME_IS_OVER
                    if results.was_other(key, name, place, settings):
                        console.print(
                            f"{key}: {name}, fold {fold}, seed {seed}: its recipe has changed "
                            "since it was run; it is run again"
                        )
                    started = time.monotonic()
                    try:
                        if isinstance(arm, Fused):
                            numbers = fused_arm(arm, FINDINGS[key].arms, place)
                        else:
                            numbers = run_arm(arm, place)
                    except Stopped:
                        console.print("stopped and saved; the same command continues from there")
                        return STOPPED
                    except TrainingStopped as error:  # one arm that diverges stops no other
                        console.print(f"{key}: {name}, fold {fold}, seed {seed}: {error}")
                        numbers = {DIVERGED: 1.0}
                    finally:
                        jax.clear_caches()  # programs of hundreds of runs would fill the memory
                    results.add(key, name, place, settings, numbers)
                    seconds = time.monotonic() - started
                    console.print(
                        f"{key}: {name}, fold {fold}, seed {seed}, {seconds:.0f} s: "
                        + json.dumps({k: round(v, 4) for k, v in numbers.items()}),
                        highlight=False,
                        soft_wrap=True,
                    )
    return DONE


if __name__ == "__main__":
    sys.exit(main())
