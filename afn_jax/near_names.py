"""Error messages for unknown names: near names first, all names where none is near."""

import difflib
from collections.abc import Iterable


def unknown_name(what: str, got: str, known: Iterable[str]) -> str:
    """Returns the message for a name that is not among `known`.

    Args:
        what: the setting or argument, such as "model.name".
        got: the name that was given.
        known: the names that exist, in the order in which to list them.
    """
    known = list(known)
    near = difflib.get_close_matches(got, known)
    if near:
        return f"{what}: got {got!r}. Did you mean {' or '.join(near)}?"
    return f"{what}: got {got!r}. Allowed are {', '.join(known)}."
