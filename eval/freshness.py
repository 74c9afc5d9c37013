"""Whether what was measured is still what a run would give."""

from pathlib import Path

from rich.console import Console

from train.checkpoint import newest_step


def warn_if_older(run: str | Path, step: int | None, file: str, console: Console) -> None:
    """Tells of a result of a run that has a newer checkpoint.

    Args:
        run: its folder.
        step: of the checkpoint that was measured; None: not known, and nothing is told.
        file: of the result.
        console: to be told.
    """
    newest = newest_step(Path(run))
    if None not in (step, newest) and step != newest:
        console.print(
            f"warning: {file} of {run} is of step {step}, its newest checkpoint of step {newest}; "
            "evaluate it again",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
