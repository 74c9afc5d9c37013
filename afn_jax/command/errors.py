"""Reports user errors as one message and an exit code, without a traceback; warnings likewise."""

import contextlib
import errno
import io
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterator

from afn_jax import __version__
from afn_jax.any_bytes import print_any_name

STANDARD_OUTPUT = "standard output"
Kinds = tuple[type[Exception], ...]


def library_kinds() -> Kinds:
    """Returns the exceptions of the library that are meant for users."""
    from afn_jax.data.source import VideoReadError

    return (ValueError, OSError, VideoReadError, RuntimeError)


@contextlib.contextmanager
def exit_cleanly(
    extra: str = "predict", kinds: Callable[[], Kinds] = library_kinds
) -> Iterator[None]:
    """Turns errors meant for users into a message and exit code 1, and warnings into one line.

    AFN_JAX_TRACEBACK=1 lets them through, for debugging.

    Args:
        extra: the extra of the package with what the command needs, named if a package is missing.
        kinds: returns the exceptions that are meant for users. It is called once there is an error,
            because the modules that define them take seconds, in which Ctrl-C must be caught.
    """
    print_any_name()
    _name_standard_output()
    if not os.environ.get("AFN_JAX_TRACEBACK"):
        warnings.formatwarning = _one_line
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except ImportError as error:
        if os.environ.get("AFN_JAX_TRACEBACK"):
            raise
        missing = isinstance(error, ModuleNotFoundError) and not _ours(error)
        print(f"\nerror: {error}" + _installation(extra) * missing, file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("AFN_JAX_TRACEBACK") or not isinstance(error, kinds()):
            raise
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            raise SystemExit(1) from None
        print(f"\nerror: {_message(error)}", file=sys.stderr)
        if getattr(error, "filename", None) == STANDARD_OUTPUT:
            _discard_output()
        raise SystemExit(1) from None


def _message(error: Exception) -> str:
    """Returns an error; one of the system without its number, and with what to do."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    name = error.filename
    if name == STANDARD_OUTPUT:
        return f"{STANDARD_OUTPUT}: {error.strerror}"
    what = error.strerror if name is None else f"{error.strerror}: {os.fsdecode(name)!r}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        kept = "" if name is None or os.path.isdir(name) else " The file is as it was before."
        return f"{what}.{kept} Free space and run the same command again"
    if error.errno == errno.EROFS:
        return f"{what}. Choose a place that can be written"
    if isinstance(error, PermissionError):
        return f"{what}. Choose another place, or ask for the permission to use this one"
    if isinstance(error, FileNotFoundError):
        return f"{what}. Check the spelling of the path"
    return what


def _ours(error: ModuleNotFoundError) -> bool:
    """Whether a part of this package is missing, which no installation of others mends."""
    return (error.name or "").partition(".")[0] == "afn_jax"


def _installation(extra: str) -> str:
    """Returns how to install what is missing, in a checkout and outside of one."""
    if extra == "predict":
        wheel = f"'afn_jax-{__version__}-py3-none-any.whl[predict]'"
        how = f"pip install {wheel}, or in a checkout pip install -e '.[predict]'"
    else:
        how = f"pip install -e '.[{extra}]'"
    return f". The commands need more than the library: {how}"


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone, as after `| head`.

    Then the pipe is replaced.
    """
    try:
        output = sys.stdout.fileno()
    except OSError:  # it was replaced by something that is not a file
        return False
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    _discard_output()
    return True


def _discard_output() -> None:
    """Sends standard output nowhere: what is left in its buffer would be an error again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name_standard_output() -> None:
    """Makes an OSError of standard output name it; otherwise it looks like that of a file."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or "write" in vars(stream):
        return

    def named(function: Callable) -> Callable:
        def call(*arguments):
            try:
                return function(*arguments)
            except OSError as error:
                if error.filename is None:
                    error.filename = STANDARD_OUTPUT
                raise

        return call

    # `print` calls these two. Replacing the stream would not reach references to it.
    stream.write, stream.flush = named(stream.write), named(stream.flush)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Formats a warning for users; that of a library keeps the place where it was raised."""
    if category is UserWarning:
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
