"""Puts the results of a flow command in place once they are complete, without replacing others.

They are written to a hidden folder beside their places, which a lock holds while its process runs.
The next command in that folder removes the hidden folders of processes that were killed.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from afn_jax.atomic import move_without_replacing
from afn_jax.data.sources.mark import MARK
from afn_jax.predict.flow.files import other_than_flow

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_ENDING = ".afn-flow"
HIDDEN = re.compile(rf"\..+{re.escape(_ENDING)}(\.[0-9a-f]{{32}})?", re.DOTALL)
_LOCK = "lock"
_LONG = 180  # bytes; names of files have 255 at most, and the ending and more are added


def check_free(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Checks that results may be put in place.

    Args:
        paths: of the results.
        overwrite: whether older results are replaced. A folder is replaced only if
            `afn-jax flow` or `predict` wrote it and nothing else was added to it.

    Raises:
        ValueError: one must not be replaced.
    """
    for path in paths:
        if not os.path.lexists(path):
            continue
        if not overwrite:
            raise ValueError(
                f"out: {path} exists already. Give another name with --out, or --overwrite to "
                "replace it."
            )
        if path.is_dir() and (other := other_than_flow(path)):
            raise ValueError(
                f"out: the folder {path} is not replaced, because {other}. Move it away, or give "
                "another name with --out."
            )


@contextlib.contextmanager
def results(stem: Path, paths: Sequence[Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """Yields where to write each result, and moves it to its place unless an error is raised.

    Args:
        stem: start of the names; its folder is made.
        paths: of the results, all in the folder of `stem`. What is not written is left out.
        overwrite: as for `check_free`.

    Raises:
        ValueError: as for `check_free`, or another process is writing results of this name.
        FileExistsError: another program has written one meanwhile. It is not replaced.
        OSError: the folder cannot be written; an error of a temporary file names the result.
    """
    folder = stem.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    check_free(paths, overwrite=overwrite)
    _remove_abandoned(folder)
    with _hidden_folder(stem) as hidden:
        written = [hidden / path.name for path in paths]
        with _naming_results(hidden, paths):
            yield written
            done = [pair for pair in zip(written, paths, strict=True) if os.path.lexists(pair[0])]
            check_free([path for _, path in done], overwrite=overwrite)
            for source, path in done:
                _put(source, path, overwrite=overwrite)


def _put(source: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite and os.path.lexists(path):
        if source.is_dir() or path.is_dir():  # these cannot be replaced in one step
            os.rename(path, source.with_name(f"older.{uuid.uuid4().hex}"))
        else:
            os.replace(source, path)
            return
    try:
        move_without_replacing(source, path)
    except FileExistsError as error:
        appeared = "It appeared meanwhile and is not replaced"
        raise FileExistsError(error.errno, appeared, os.fspath(path)) from error


@contextlib.contextmanager
def _naming_results(hidden: Path, paths: Sequence[Path]) -> Iterator[None]:
    """Makes an OSError name the result instead of a file in the hidden folder."""
    try:
        yield
    except OSError as error:
        start = f"{hidden}{os.sep}"
        if error.errno is None or not str(error.filename).startswith(start):
            raise
        name = str(error.filename).removeprefix(start)
        about = next((path for path in paths if name.startswith(path.name)), paths[0])
        raise OSError(error.errno, error.strerror, str(about)) from error


@contextlib.contextmanager
def _hidden_folder(stem: Path) -> Iterator[Path]:
    """Makes the hidden folder of a name, which one process at a time can have."""
    name, data = stem.name, os.fsencode(stem.name)
    if len(data) > _LONG:
        name = hashlib.sha256(data).hexdigest()
    place = stem.with_name(f".{name}{_ENDING}")
    own = place.with_name(f"{place.name}.{uuid.uuid4().hex}")
    try:
        own.mkdir()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(stem.absolute().parent)) from error
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(own, ignore_errors=True))
        lock = stack.enter_context(open(own / _LOCK, "w", encoding="utf-8"))
        _lock(lock)  # before it has its content, by which others know it
        lock.write(json.dumps(_OWNER))
        lock.flush()
        if fcntl is None:  # Windows renames no folder with an open file
            lock.close()
        try:
            os.rename(own, place)  # fails if the other one is there, as it is not empty
        except OSError as error:
            if not place.exists():
                raise
            raise ValueError(
                f"out: another afn-jax flow is writing {stem}. Wait for it, or give another name "
                f"with --out. If none is running, remove {place}."
            ) from error
        stack.callback(lambda: shutil.rmtree(place, ignore_errors=True))
        yield place


_OWNER = {"comment": MARK, "host": platform.node()}


def _lock(file) -> bool:
    """Locks an open file until it is closed or the process ends; returns whether that is so."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another process, or a file system without locks
        return False
    return True


def _remove_abandoned(folder: Path) -> None:
    """Removes the hidden folders of processes of this computer that do not run any more."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            hidden = folder / name
            if not HIDDEN.fullmatch(name) or hidden.is_symlink():
                continue
            with contextlib.suppress(OSError, ValueError):
                with open(hidden / _LOCK, encoding="utf-8") as lock:
                    if json.loads(lock.read()) == _OWNER and _lock(lock):
                        for entry in os.listdir(hidden):
                            if entry != _LOCK:  # goes last, so that the rest is known as ours
                                _remove(hidden / entry)
                        shutil.rmtree(hidden)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
