"""Writing a file so that a reader sees either the old content or the new one, never a part."""

import contextlib
import errno
import glob
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_ABANDONED = 86400.0  # seconds without a change, if it is unknown whether the writer lives; guessed
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{32})(\.raw)?", re.DOTALL)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file under a temporary name in the same folder, then renames it to `path`.

    Temporary files that killed processes left for `path` are removed.

    Args:
        path: of the file; its folder must exist.
        content: text is written as UTF-8; bytes of file names that are not UTF-8 are escaped.

    Raises:
        OSError: the folder is missing, or the disk is full or cannot be written. A file that was
            at `path` before is unchanged.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with complete_or_absent(path) as unfinished:
        unfinished.write_bytes(data)


@contextlib.contextmanager
def complete_or_absent(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which is renamed to it unless an error is raised.

    What was written there is a file, or a folder if `path` is not an older folder. After an error
    it is removed. Temporary files that killed processes left for `path` are removed too.

    Args:
        path: of the file or folder; its folder must exist.

    Raises:
        OSError: as for `write_atomically`.
    """
    path = Path(path)
    _remove_abandoned(path)
    unfinished = temporary_path(path)
    try:
        with naming_path(path, unfinished):
            yield unfinished
            os.replace(unfinished, path)
    finally:
        _remove(unfinished)


def temporary_path(path: Path) -> Path:
    """Returns a new name beside `path`, which tells the computer and the process that writes it."""
    return path.with_name(f".{path.name}.{_host()}{os.getpid():08x}{uuid.uuid4().hex[:16]}")


def is_temporary(name: str) -> bool:
    """Whether the name of a file or folder is one of `temporary_path`."""
    return _TEMPORARY.fullmatch(name) is not None


def move_without_replacing(source: Path, target: Path) -> None:
    """Renames a file or folder within a file system.

    Raises:
        FileExistsError: something has the new name. Where there are no hard links, a file that
            appears in the same instant is not noticed.
        OSError: it cannot be renamed.
    """
    try:
        if not source.is_dir() and _link(source, target):
            source.unlink()
            return
        if os.path.lexists(target):
            raise FileExistsError
        os.rename(source, target)  # a folder never replaces a file, or a folder with content
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            text = os.strerror(errno.EEXIST)
            raise FileExistsError(errno.EEXIST, text, str(target)) from error
        raise


def _link(source: Path, target: Path) -> bool:
    """Gives a file a second name; returns False if the file system has no hard links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        return False
    return True


@contextlib.contextmanager
def naming_path(
    path: str | os.PathLike[str], temporary: str | os.PathLike[str] | None = None
) -> Iterator[None]:
    """Makes an OSError name `path` if it names no file, as that of a write to a full disk.

    Likewise if it names the temporary file, or a file in the temporary folder.
    """
    try:
        yield
    except OSError as error:
        ours = temporary is not None and str(error.filename).startswith(os.fspath(temporary))
        if (error.filename is None or ours) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _remove_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):
        for name in glob.glob(f".{glob.escape(path.name)}.*", root_dir=path.parent):
            match = _TEMPORARY.fullmatch(name)
            if match and name[len(path.name) + 2 :] == name[match.start(1) :]:
                file = path.with_name(name)
                old = time.time() - file.lstat().st_mtime > _ABANDONED
                if old or _is_dead(match[1]):
                    _remove(file)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_dead(mark: str) -> bool:
    """Whether the process that chose a temporary name has ended; False if that is unknown."""
    if os.name != "posix" or mark[:8] != _host():
        return False
    try:
        os.kill(int(mark[8:16], 16), 0)  # sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _remove(path: Path) -> None:
    """Removes a file or a folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
