"""Words in messages: near names for unknown ones, names of any characters, plurals."""

import difflib
from collections.abc import Callable, Iterable


def did_you_mean(
    got: str, known: Iterable[str], *, key: Callable[[str], str] = lambda name: name
) -> str:
    """Returns "Did you mean A or B?" with at most three near names; "" if none is near.

    Args:
        got: the name that was given.
        known: the names that exist.
        key: maps a name to the form in which names are compared, such as `str.lower`.
    """
    by_key = {key(name): name for name in known}
    near = [by_key[match] for match in difflib.get_close_matches(key(got), by_key)]
    return f"Did you mean {' or '.join(near)}?" if near else ""


def did_you_mean_or_all(got: str, known: Iterable[str]) -> str:
    """Returns `did_you_mean`, or a list of all names if none is near."""
    known = list(known)
    return did_you_mean(got, known) or f"Allowed are {', '.join(known)}."


def unknown_name(what: str, got: str, known: Iterable[str]) -> str:
    """Returns the message for a name that is not among `known`.

    Args:
        what: the setting or argument, such as "model.name".
        got: the name that was given.
        known: the names that exist, in the order in which to list them.
    """
    return f"{what}: got {got!r}. {did_you_mean_or_all(got, known)}"


def printable(name: str) -> str:
    """Returns a name on one line: line breaks and bytes that are not UTF-8 become escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def counted(number: int, what: str) -> str:
    """Returns "1 frame" or "2 frames"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
