"""The output folder: for one network and one set of settings, used by one process at a time."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from afn_jax.atomic import move_without_replacing, write_atomically
from afn_jax.data.source import Skipped
from afn_jax.predict.outputs.records import is_record
from afn_jax.predict.outputs.stage import stage
from afn_jax.predict.settings import Settings

STATE = "predict.json"
SKIPPED = "skipped.csv"
_LOCK = ".predict.lock"
_LEAST_FREE = 16 * 2**20  # bytes; guessed: the tables of a few videos


@contextlib.contextmanager
def output_folder(
    path: str | Path, identity: dict[str, Any], settings: Settings, *, overwrite: bool
) -> Iterator["Shared"]:
    """Makes the folder and holds it for this process; yields its files that are not of one video.

    Args:
        path: the folder.
        identity: of the network.
        settings: of the prediction.
        overwrite: take over a folder with outputs of another network or other settings.

    Raises:
        ValueError: it has outputs of another network or other settings, or is a file, or another
            process writes to it.
        OSError: it cannot be written, or the disk is full.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: {folder} is a file; give a folder with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    with _locked(folder):
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE:
            raise OSError(
                errno.ENOSPC, f"No space left on device ({free / 2**20:.0f} MiB free)", str(folder)
            )
        before = _check_state(folder, identity, settings, overwrite)
        shared = Shared(folder, {"network": identity, "settings": settings.to_json()}, before)
        yield shared


class Shared:
    """The files of an output folder that are not of one video, such as its page.

    If a name is that of a file of others, or of one that was changed after it was written here,
    another one is used: `index-2.html`. `predict.json` remembers what was written here.

    Attributes:
        folder: the output folder.
        notes: which files have unusual names, and why.
    """

    folder: Path

    def __init__(self, folder: Path, state: dict[str, Any], before: dict[str, Any] | None):
        """Writes `predict.json`. `before` is its earlier content, None if there was none."""
        self.folder, self._state = folder, state
        files = (before or {}).get("files")
        self.notes: list[str] = []
        # usual name -> [name, SHA-256 of what was written, and perhaps of what was there before]
        self._files: dict[str, list[str]] = files if _are_files(files) else {}
        self._save()

    @contextlib.contextmanager
    def writing(self, usual: str, *, new: bool = False) -> Iterator[Path]:
        """Yields where to write a file, which then replaces the one that was written here.

        If that one was changed since, or is of others, it stays and another name is used.

        Args:
            usual: the name of the file if nothing is in its way.
            new: take a new name in any case.
        """
        name = self._name(usual, new)
        replaces = self._is_own(usual, name)
        if name != usual and not replaces:
            self.notes.append(self._why(usual, name))
        with stage(self.folder) as hidden:
            yield hidden / name
            # The one before stays listed until the new one has replaced it.
            before = self._files[usual][1:2] if replaces else []
            self._files[usual] = [name, _digest(hidden / name), *before]
            self._save()
            if replaces:
                os.replace(hidden / name, self.folder / name)
            else:
                move_without_replacing(hidden / name, self.folder / name)

    def is_changed(self, usual: str) -> bool:
        """Whether a file that was written here is there and was changed since."""
        name = self._files.get(usual, [""])[0]
        return bool(name) and self._exists(name) and not self._is_own(usual, name)

    def remove(self, usual: str) -> None:
        """Removes a file if it is as it was written here."""
        if usual in self._files:
            name = self._files[usual][0]
            if self._is_own(usual, name):
                (self.folder / name).unlink(missing_ok=True)
            del self._files[usual]
            self._save()

    def _name(self, usual: str, new: bool) -> str:
        name = self._files.get(usual, [""])[0]
        if not new and self._is_own(usual, name):
            return name
        path, count, tried = Path(usual), 1, usual
        while self._exists(tried):
            count += 1
            tried = f"{path.stem}-{count}{path.suffix}"
        return tried

    def _is_own(self, usual: str, name: str) -> bool:
        """Whether a file is as this program wrote it."""
        known, *digests = self._files.get(usual, [""])
        return bool(name) and name == known and _digest(self.folder / name) in digests

    def _exists(self, name: str) -> bool:
        return os.path.lexists(self.folder / name)

    def _why(self, usual: str, name: str) -> str:
        path, before = self.folder / name, self._files.get(usual, [usual])[0]
        if self.is_changed(usual):
            what = "was filled in or changed, so it stays as it is"
            return f"{self.folder / before} {what}. The new one is {path}."
        return f"{self.folder / usual} is another file, so the new one is {path}."

    def _save(self) -> None:
        state = self._state | {"files": self._files}
        write_atomically(self.folder / STATE, json.dumps(state, indent=1) + "\n")


def shared_files(folder: Path) -> set[str]:
    """Returns the names of the files of `Shared` in a folder; empty if it is no output folder."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        files = state["files"] if {"network", "settings"} <= state.keys() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return {STATE, _LOCK, *(name for name, *_ in files.values())} if _are_files(files) else set()


def _are_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(item, list)
        and len(item) >= 2
        and all(isinstance(part, str) for part in item)
        and os.path.basename(item[0]) == item[0]
        for item in files.values()
    )


def _digest(path: Path) -> str:
    """Returns the SHA-256 of a file; "?" if it is missing, a link or cannot be read."""
    try:
        return "?" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "?"


def _unusable(folder: Path, error: OSError) -> Exception:
    """Returns the error for a folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(error.errno, error.strerror, str(folder))
    return ValueError(
        f"out: {folder} cannot be written ({error.strerror}); give a folder that you may write to "
        "with --out."
    )


def _check_state(
    folder: Path, identity: dict[str, Any], settings: Settings, overwrite: bool
) -> dict[str, Any] | None:
    """Returns what an earlier call wrote about the folder; None if there was none."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        network, before = state["network"], state["settings"]
        same_network = network["sha256"] == identity["sha256"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"out: {folder / STATE} is damaged or of another program ({error}), so it is unknown "
            "what the files beside it are. Move it away, or give another folder with --out."
        ) from error
    same = same_network and before == settings.to_json()
    if same or overwrite or not any(is_record(path) for path in folder.glob("*.json")):
        return state
    if not same_network:
        what = f"of another network, {network.get('name')}"
    else:
        now = settings.to_json()
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        changed = [
            f"--{name.replace('_', '-')} {before.get(name)} (now {now.get(name)})" for name in names
        ]
        what = f"with other settings: {', '.join(changed)}"
    raise ValueError(
        f"out: {folder} has outputs {what}. Give another folder with --out, or replace them with "
        "--overwrite."
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a lock that the system releases if this process is killed."""
    path, is_held = folder / _LOCK, False
    while not is_held:
        try:
            file = open(path, "a")  # noqa: SIM115, closed below
        except OSError as error:
            raise _unusable(folder, error) from error
        with file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:  # Windows
                pass
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise ValueError(
                        f"out: another afn-jax predict is writing to {folder}; wait for it, or "
                        "give another folder with --out."
                    ) from error
            # The process before may have removed the file since it was opened.
            with contextlib.suppress(FileNotFoundError):
                is_held = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            if is_held:
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):
                        os.unlink(path)


def write_skipped(shared: Shared, skipped: Sequence[Skipped]) -> Path | None:
    """Writes `skipped.csv`: path and reason of each file; removes an old one if there are none."""
    if not skipped:
        shared.remove(SKIPPED)
        return None
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "reason"])
    rows.writerows((item.path, item.reason) for item in skipped)
    with shared.writing(SKIPPED) as path:
        write_atomically(path, text.getvalue())
    return shared.folder / path.name
