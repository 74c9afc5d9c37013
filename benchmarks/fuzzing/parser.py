"""What the fuzzing campaign knows about one parser."""

import dataclasses
import random
import re
from collections.abc import Callable
from pathlib import Path

Files = dict[str, bytes]
"""A folder: path of each file below it -> content."""

Mutation = Callable[[random.Random, bytes], bytes]


class Violation(AssertionError):
    """A parser returned something that it promises not to return."""


@dataclasses.dataclass(frozen=True)
class Parser:
    """A parser of users' files.

    Attributes:
        name: for the command line and the table.
        reads: the functions under test.
        errors: names of the documented types of error; subclasses count.
        seeds: makes small sound inputs, each a folder; the same ones each time.
        read: reads the folder of an input; raises `Violation` for a wrong result.
        text: whether the files are text, which decides the mutations.
        reshape: mutation that keeps the format's checksums and lengths right; None: none.
        mutable: ends of the names of the files to mutate; empty: all files.
        cost: relative cost; the number of inputs is inverse to it.
    """

    name: str
    reads: str
    errors: tuple[str, ...]
    seeds: Callable[[], list[Files]]
    read: Callable[[Path], None]
    text: bool = False
    reshape: Mutation | None = None
    mutable: tuple[str, ...] = ()
    cost: float = 1.0

    @property
    def folder(self) -> str:
        """Name of its folder of saved inputs."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def targets(self, files: Files) -> list[str]:
        """The files of a seed that are mutated."""
        return sorted(name for name in files if not self.mutable or name.endswith(self.mutable))

    def documents(self, error: BaseException) -> bool:
        """Whether the error is one of the documented types."""
        return bool({kind.__name__ for kind in type(error).__mro__} & set(self.errors))


def require(condition: bool, what: str) -> None:
    """Raises `Violation` unless the condition holds."""
    if not condition:
        raise Violation(what)
