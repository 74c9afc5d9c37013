"""Command line: `python -m study [FINDING ...] [--data NAME --root DIR] [--seeds N]`.

With `--distributed`, it is one of several processes that run each experiment together: see
`train.hosts`.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from afn_jax.limits import Limits, check_limits
from afn_jax.near_names import unknown_name
from train.command_line import fail
from train.errors import exit_cleanly
from train.hosts.ending import ends_at_once
from train.hosts.options import HOSTS_HELP, take_host_options

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

DONE, TIME_IS_UP, STOPPED = 0, 3, 130  # exit codes


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Tests each finding of the papers with a small experiment and writes docs/reproduction.md."""

    findings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FINDING ...]")
    ] = ()
    """Findings to test, see --list. None: all that apply to the data."""
    data: str = "synthetic-motion"
    """synthetic-motion, arid6, or any name for videos that are split by their groups."""
    root: str = ""
    """Folder of the videos."""
    seeds: Annotated[int, Limits(0)] = 0
    """Seeds per arm and, with groups, per left-out group. 0: 3 at scale cpu, 5 at scale gpu."""
    minutes: float = 50.0
    """Start no run after this many minutes; the exit code is then 3."""
    scale: Literal["auto", "cpu", "gpu"] = "auto"
    (
        "cpu: the recipes' toy scales. gpu: larger clips and networks, ten times the steps. auto: "
        "gpu if JAX finds a GPU or TPU, else cpu."
    )
    folder: str = "runs/study"
    """Folder for the runs."""
    page: str = "docs/reproduction.md"
    """Report to write. The folder of the same name has the numbers and the plots."""
    list: bool = False
    """List the findings and exit."""
    report_only: bool = False
    """Write the report from the results so far, without running anything."""


def main() -> int:
    hosts, arguments = take_host_options(sys.argv[1:])
    config = tyro.cli(
        StudyConfig,
        prog="python -m study",
        description=f"{StudyConfig.__doc__}\n\n{HOSTS_HELP}",
        args=arguments,
    )
    if hosts is not None and (config.list or config.report_only):
        fail("--distributed: --list and --report-only run nothing; leave it out.")
    with ends_at_once(), exit_cleanly():
        from study.findings import FINDINGS

        if config.list:
            for key, finding in FINDINGS.items():
                videos = " (also on videos)" if finding.on_videos else ""
                print(f"{key:12} {finding.paper}: {finding.says}{videos}")
            return 0
        unknown = sorted(set(config.findings) - set(FINDINGS))
        if unknown:
            raise ValueError(unknown_name("findings", unknown[0], FINDINGS))
        check_limits(config)
        import jax

        from study.results import Results

        results = Results(Path(config.page))
        if not config.report_only:
            from afn_jax.command.accelerator import start_jax
            from study.data import open_data
            from train.hosts.checks import check_same_settings
            from train.hosts.connect import connect
            from train.hosts.together import (
                by_first,
                explains_lost_process,
                fails_together,
                found_by_first,
            )

            if hosts is not None:
                connect(hosts)
            start_jax(".cache/jax")
            config = for_backend(config, jax.default_backend())
            with explains_lost_process(), fails_together():
                check_same_settings(config)
                data = found_by_first(open_data, config.data, config.root, Path(config.folder))
                code = study(config, data, results)
                by_first(_write_page, results)
            return code
        _write_page(results)
    return DONE


def _write_page(results) -> None:
    results.write_page()
    print(f"report={results.page}")


def for_backend(config: StudyConfig, backend: str) -> StudyConfig:
    """Fills in `scale` and `seeds` where they are left to the machine."""
    scale = config.scale
    if scale == "auto":
        scale = "cpu" if backend == "cpu" else "gpu"
    seeds = config.seeds or {"cpu": 3, "gpu": 5}[scale]
    return dataclasses.replace(config, scale=scale, seeds=seeds)


def study(config: StudyConfig, data, results) -> int:
    """Runs what is missing: for each seed, all findings.

    With several processes, all have to call this; process 0 decides and prints.

    Args:
        config: the settings, from `for_backend`.
        data: the dataset.
        results: the runs so far; new ones are added.

    Returns:
        The exit code: DONE, TIME_IS_UP or STOPPED.
    """
    import jax

    from study.findings import FINDINGS, Fused
    from study.report import DIVERGED
    from study.runs import Stopped, fused_arm, run_arm
    from study.settings import settings_of
    from train.hosts.together import by_first, gather, leads
    from train.step_metrics import Diverged

    console = Console(quiet=not leads())
    end = time.monotonic() + 60 * config.minutes
    for key, name, place in _replications(config, data):
        arms, where = FINDINGS[key].arms, f"{key}: {name}, fold {place.fold}, seed {place.seed}"
        settings = settings_of(arms[name], arms, place)
        there = results.has(key, name, place, settings)
        there, late = gather((there, time.monotonic() > end))[0]
        if there:
            continue
        if late:
            console.print(f"{config.minutes:g} minutes are up; the same command continues")
            return TIME_IS_UP
        if results.was_other(key, name, place, settings):
            console.print(
                f"{where}: its settings have changed since it was run; it is run again",
                soft_wrap=True,
            )
        started = time.monotonic()
        try:
            if isinstance(arms[name], Fused):
                numbers = fused_arm(arms[name], arms, place)
            else:
                numbers = run_arm(arms[name], place)
        except Stopped:
            console.print("stopped and saved; the same command continues from there")
            return STOPPED
        except Diverged as error:  # the other arms go on
            console.print(f"{where}: {error}")
            numbers = {DIVERGED: 1.0}
        finally:
            jax.clear_caches()  # or programs of hundreds of runs fill the memory
        by_first(results.add, key, name, place, settings, numbers)
        console.print(
            f"{where}, {time.monotonic() - started:.0f} s: "
            + json.dumps({k: round(v, 4) for k, v in numbers.items()}),
            highlight=False,
            soft_wrap=True,
        )
    return DONE


def _replications(config: StudyConfig, data) -> Iterator[tuple]:
    """Yields finding, arm and place of each replication, in the order in which they are run."""
    from study.findings import FINDINGS
    from study.runs import Place

    chosen = config.findings or [
        key for key, finding in FINDINGS.items() if finding.on_videos or not data.root
    ]
    for seed in range(config.seeds):
        for fold in data.folds:
            place = Place(Path(config.folder), data, fold, seed, config.scale)
            for key in chosen:
                for name in FINDINGS[key].arms:
                    yield key, name, place


if __name__ == "__main__":
    sys.exit(main())
