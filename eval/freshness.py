"""A warning about results of an older checkpoint."""

from pathlib import Path

from rich.console import Console

from train.checkpoint import newest_step


def warn_if_older(run: str | Path, step: int | None, file: str, console: Console) -> None:
    """Warns if a run has a newer checkpoint than the one that a result belongs to.

    Args:
        run: folder of the run.
        step: step of the evaluated checkpoint; None: unknown, no warning.
        file: the file that holds the result.
        console: prints the warning.
    """
    newest = newest_step(Path(run))
    if None not in (step, newest) and step != newest:
        console.print(
            f"warning: {file} of {run} belongs to step {step}, but the newest checkpoint is of "
            f"step {newest}; evaluate the run again",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
