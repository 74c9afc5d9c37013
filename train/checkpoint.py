"""Checkpoints of a run, by Orbax: state, position of the data iterator, settings, data record.

`eval/` reads run folders through this file.

A run folder holds `config.json`, `checkpoints/STEP/`, `data/`, `metrics.jsonl`, `tensorboard/` and,
once evaluated, `eval.json` and `report.html`.

With several processes, all of them save and restore, in a shared folder.
"""

import dataclasses
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from train import config_file
from train.config import TrainConfig
from train.data_record import DataRecord, from_json, read_record
from train.hosts.together import by_first, lost_process, wait_for_all
from train.state import TrainState

CONFIG_FILE = "config.json"
RECORD = "record"  # the item of a checkpoint; checkpoints of older versions have none


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message says what is intact and what to do."""


class Checkpoints:
    """The checkpoints of one run folder. Each appears completely or not at all.

    With `read_only`, nothing in the folder is changed: a run may be training in it.
    """

    def __init__(self, run_dir: Path, keep: int = 2, *, read_only: bool = False):
        self.warnings: list[str] = []
        self._read_only = read_only
        self._folder = Path(run_dir).resolve() / "checkpoints"
        # Orbax warns about settings that read_only implies. When a read or a write fails, its other
        # threads print tracebacks in addition to the error that is raised here.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        _ignore_abandoned_reads()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=not read_only,
            read_only=read_only,
            enable_async_checkpointing=False,
        )
        if not read_only:
            by_first(_remove_unfinished, self._folder)
            wait_for_all()
        try:
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_names=("state", "data", "config", RECORD)
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"the checkpoints in {self._folder} cannot be listed: a file _CHECKPOINT_METADATA "
                f"is damaged ({_first_line(error)}). Move the folder of that step away, and the "
                "run continues from an older one; or restore it from a copy."
            ) from error

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        data: dict[str, Any],
        config: TrainConfig,
        record: DataRecord | None = None,
    ) -> None:
        """Saves everything that the next step depends on, and the record into the run folder too.

        Raises:
            CheckpointError: the disk is full or not writable; older checkpoints are untouched.
        """
        step = int(state.step)
        saved = step in self._manager.all_steps()
        if saved and (record is None or read_record(self._folder.parent) is not None):
            return
        try:
            if record is not None:
                by_first(record.save, self._folder.parent)
            if saved:
                return
            items = {} if record is None else {RECORD: ocp.args.JsonSave(record.to_json())}
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(jax.device_get(state)),
                    data=ocp.args.JsonSave(data),
                    config=ocp.args.JsonSave(dataclasses.asdict(config)),
                    **items,
                ),
            )
            self._manager.wait_until_finished()
        except Exception as error:  # Orbax and TensorStore raise many types
            if lost_process(error):
                raise
            before = [s for s in self._manager.all_steps() if s != step]
            safe = f"the checkpoint of step {max(before)} is intact" if before else "none is saved"
            raise CheckpointError(
                f"cannot write the checkpoint of step {step} to {self._folder}: "
                f"{_first_line(error)}. Earlier work: {safe}. Free space (or choose another "
                "--run-dir) and run the same command again; it continues from there."
            ) from error

    def restore(
        self, template: TrainState | None
    ) -> tuple[TrainState | dict[str, Any], dict[str, Any]] | None:
        """Reads the newest readable checkpoint; returns None if the run has none.

        A damaged checkpoint is skipped with a warning and stays on disk under another name.

        Args:
            template: a state with the same shapes; None returns dicts of arrays, as saved.

        Raises:
            CheckpointError: there are checkpoints, but none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        damaged = []
        for step in steps:
            try:
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(
                            jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
                            if template is not None
                            else None
                        ),
                        data=ocp.args.JsonRestore(),
                    ),
                )
                if template is None:
                    _check_parts(restored["state"])
            except Exception as error:
                damaged.append(f"step {step}: {_first_line(error)}")
                continue
            if not self._read_only:
                for bad in steps[: len(damaged)]:
                    by_first(self._set_aside, bad)
                if damaged:
                    wait_for_all()
                    self._manager.reload()
            self.warnings = [f"skipped a damaged checkpoint, {text}" for text in damaged]
            return restored["state"], restored["data"]
        if not steps:
            return None
        raise CheckpointError(
            f"no checkpoint in {self._folder} can be read ({'; '.join(damaged)}). They are "
            "truncated or belong to another model. Restore them from a copy, or use another "
            "--run-dir; nothing was changed."
        )

    def record(self) -> tuple[int, DataRecord] | None:
        """Returns the newest step whose checkpoint has a readable data record, and the record."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            if not (self._folder / str(step) / RECORD).is_dir():
                continue
            try:
                args = ocp.args.Composite(**{RECORD: ocp.args.JsonRestore()})
                record = from_json(self._manager.restore(step, args=args)[RECORD])
            except Exception:  # a damaged checkpoint, which `restore` reports
                continue
            if record is not None:
                return step, record
        return None

    def _set_aside(self, step: int) -> None:
        aside, count = self._folder.parent / f"damaged-checkpoint-{step}", 1
        while aside.exists():
            count += 1
            aside = self._folder.parent / f"damaged-checkpoint-{step}-{count}"
        (self._folder / str(step)).rename(aside)

    def close(self) -> None:
        self._manager.close()


def _check_parts(state: Any) -> None:
    """Raises ValueError if a state that was read as dicts lacks a part that none is without."""
    missing = {"step", "params"} - set(state if isinstance(state, dict) else ())
    if missing:
        raise ValueError(f"its state has no {' and no '.join(sorted(missing))}")


def _remove_unfinished(folder: Path) -> None:
    """Removes what killed runs and failed writes left; the run folder is locked.

    Orbax can do so too, but in a thread that outlives its manager and that meets the next one's.
    """
    for path in folder.glob("*" + ocp.utils.TMP_DIR_SUFFIX + "*"):
        shutil.rmtree(path, ignore_errors=True)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].partition(" See full TensorStore")[0][:300]


class _WithoutAbandonedReads:
    """Hook for exceptions in other threads that drops those of the reads that Orbax abandons."""

    def __init__(self, before: Callable[[Any], None]):
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        text = str(unraisable.exc_value)
        if text != "Event loop is closed" and "error while reading array" not in text:
            self._before(unraisable)


def _ignore_abandoned_reads() -> None:
    """Suppresses the tracebacks of the reads that Orbax abandons when one read fails.

    They end in other threads some time after the failure, so the hook stays installed.
    """
    if not isinstance(sys.unraisablehook, _WithoutAbandonedReads):
        sys.unraisablehook = _WithoutAbandonedReads(sys.unraisablehook)


def has_checkpoint(run_dir: Path) -> bool:
    """Whether a run folder holds a checkpoint, readable or not."""
    return newest_step(run_dir) is not None


def newest_step(run_dir: Path) -> int | None:
    """The step of the newest checkpoint of a run folder, readable or not; None without any."""
    folder = Path(run_dir) / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def load_config(run_dir: Path) -> TrainConfig:
    """Reads the settings of a run folder.

    Raises:
        ValueError: `run_dir` is not a run folder.
    """
    return config_file.load(Path(run_dir) / CONFIG_FILE)


def load_record(run_dir: Path) -> tuple[int | None, DataRecord | None]:
    """Reads what a run was trained on, from its newest checkpoint or else from its folder.

    Returns:
        The step of the checkpoint, or None, and the record; None for runs of older versions.
    """
    found = None
    if has_checkpoint(run_dir):
        checkpoints = Checkpoints(run_dir, read_only=True)
        try:
            found = checkpoints.record()
        finally:
            checkpoints.close()
    return found or (None, read_record(run_dir))


def load_state(run_dir: Path, template: TrainState | None) -> TrainState | dict[str, Any]:
    """Reads the newest readable state of a run folder; without a template, as dicts of arrays.

    Raises:
        CheckpointError: the run has no checkpoint, or none can be read.
    """
    restored = None
    if (Path(run_dir) / "checkpoints").is_dir():
        checkpoints = Checkpoints(run_dir, read_only=True)
        try:
            restored = checkpoints.restore(template)
        finally:
            checkpoints.close()
        for warning in checkpoints.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if restored is None:
        raise CheckpointError(
            f"{run_dir} has no checkpoint yet. Run the command that made it again."
        )
    return restored[0]
