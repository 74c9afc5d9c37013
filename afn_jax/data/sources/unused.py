"""What lies in the folder of a dataset and is not used: counted by kind, with an example."""

from collections.abc import Iterable

from afn_jax.data.source import Skipped, Unused
from afn_jax.data.sources.kinds import NO_DATA

HIDDEN = "its name starts with a dot"
SHOWN = 6  # kinds in one line; guessed


class Tally:
    """Counts what is not used, by kind and reason."""

    def __init__(self, counted: Iterable[Unused] = ()):
        """Starts with what was `counted` before."""
        self._counted = {(item.kind, item.reason): [item.count, item.example] for item in counted}

    def add(self, kind: str, path: str, reason: str) -> None:
        """Counts one file or folder."""
        entry = self._counted.setdefault((kind, reason), [0, path])
        entry[0] += 1
        entry[1] = min(entry[1], path)  # folders are listed in any order

    def items(self) -> tuple[Unused, ...]:
        """Returns the kinds, the most frequent first, and texts and the like last."""
        found = [
            Unused(kind, count, example, reason)
            for (kind, reason), (count, example) in self._counted.items()
        ]
        plain = {*NO_DATA, HIDDEN}
        return tuple(sorted(found, key=lambda i: (i.reason in plain, -i.count, i.kind, i.reason)))


def unused_line(unused: Iterable[Unused]) -> str:
    """Returns one line such as `not used: 3 .txt (text or list; first: a/b.txt), 1 .xyz (...)`.

    Empty if there is nothing.
    """
    unused = tuple(unused)
    if not unused:
        return ""
    named = [f"{item.count} {item.kind} ({item.reason}; {_first(item)})" for item in unused[:SHOWN]]
    rest = unused[SHOWN:]
    if rest:
        named.append(f"{sum(item.count for item in rest)} more of {len(rest)} kinds")
    return "not used: " + ", ".join(named)


def as_skipped(unused: Iterable[Unused]) -> tuple[Skipped, ...]:
    """Returns one row per kind for a table of skipped files."""
    return tuple(
        Skipped(
            item.example + (f" and {item.count - 1} more" if item.count > 1 else ""),
            f"{item.kind}: {item.reason}",
        )
        for item in unused
    )


def _first(item: Unused) -> str:
    return item.example if item.count == 1 else f"first: {item.example}"
