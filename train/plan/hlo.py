"""Reads a compiled program's text: bytes that its kernels move, bytes that devices exchange.

Both count what is outside of kernels: a kernel (an instruction that is not inside a fusion) reads
its operands from memory and writes its result, once per turn of the loops around it.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "f16": 2, "c64": 8, "c128": 16, "token": 0}
_SHAPE = re.compile(r"([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,]*)\](?:\{([^}]*)\})?")
_LINE = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) .*\{$")
_CALLED = re.compile(r"(?:body|to_apply|branch_computations|condition)=(\{[^}]*\}|%?[\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# Instructions that move nothing.
_FREE = {
    *("parameter", "tuple", "get-tuple-element", "bitcast", "constant", "after-all", "while"),
    *("conditional", "call", "async-done", "copy-done", "all-reduce-done", "all-gather-done"),
    *("collective-permute-done", "partition-id", "replica-id", "opt-barrier", "iota"),
    *("add-dependency", "send-done", "recv-done", "async-update"),
}
_SLICES = {"dynamic-slice", "slice", "gather"}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation. `shape` is the text of its result's shape."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str
    root: bool


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes of one step on one device.

    Attributes:
        memory: read and written by kernels.
        exchanged: sizes of the arrays that collectives combine.
        collectives: number of collectives that run.
    """

    memory: float
    exchanged: float
    collectives: int


def traffic(text: str) -> Traffic:
    """Computes the traffic of a compiled program from its text."""
    computations, entry = _parse(text)
    memory = exchanged = 0.0
    collectives = 0
    for name, times in _runs(computations, entry, 1):
        by_name = {one.name: one for one in computations[name]}
        for one in computations[name]:
            base = one.opcode.removesuffix("-start")
            if base in COLLECTIVES:
                exchanged += times * sum(_size(by_name[o].shape) for o in one.operands)
                collectives += times
            if one.opcode not in _FREE:
                memory += times * _moved(one, by_name, computations)
    return Traffic(memory, exchanged, collectives)


def _parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY")) and (header := _HEADER.match(line)):
            current = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _LINE.match(line)):
            if (instruction := _instruction(found)) is not None:
                current.append(instruction)
    return computations, entry


def _instruction(found: re.Match) -> Instruction | None:
    text = found[3]
    end = _closing(text) if text.startswith("(") else text.find(" ")
    shape, rest = text[: end + 1], text[end + 1 :].lstrip()
    opcode, bracket, rest = rest.partition("(")
    if not bracket:
        return None
    inside = rest[: _closing("(" + rest) - 1]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(found[2], shape, opcode, operands, rest, bool(found[1]))


def _closing(text: str) -> int:
    """Returns the position of the parenthesis that closes the first one."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and character == ")":
            return position
    return len(text) - 1


def _runs(
    computations: dict[str, list[Instruction]], name: str, times: int
) -> Iterator[tuple[str, int]]:
    """Yields each computation that runs outside of kernels, and how often."""
    yield name, times
    for one in computations[name]:
        if one.opcode not in ("while", "conditional", "call"):
            continue
        trips = _TRIPS.search(one.rest)
        turns = int(trips[1]) if trips and one.opcode == "while" else 1
        for called in _CALLED.findall(one.rest):
            for inner in re.findall(r"[\w.\-]+", called):
                if inner in computations:
                    yield from _runs(computations, inner, times * turns)


def _moved(
    one: Instruction, by_name: dict[str, Instruction], computations: dict[str, list[Instruction]]
) -> float:
    """Bytes that a kernel reads and writes. Of an operand that it only slices, only slices."""
    called = re.search(r"calls=%?([\w.\-]+)", one.rest)
    body = computations.get(called[1]) if called and one.opcode == "fusion" else None
    operands = [by_name[o].shape for o in one.operands if o in by_name]
    if body is None:
        if one.opcode == "dynamic-update-slice":
            return 2.0 * _hbm(operands[1])
        if one.opcode in _SLICES:
            return 2.0 * _hbm(one.shape)
        return sum(map(_hbm, operands)) + _hbm(one.shape)
    return sum(_read(body, number, shape) for number, shape in enumerate(operands)) + _written(
        body, one.shape
    )


def _read(body: list[Instruction], number: int, shape: str) -> float:
    parameter = next(
        (b for b in body if b.opcode == "parameter" and b.rest.startswith(f"{number})")), None
    )
    if parameter is None:
        return _hbm(shape)
    users = [b for b in body if parameter.name in b.operands]
    if users and all(u.opcode in _SLICES and u.operands[0] == parameter.name for u in users):
        return float(min(_hbm(shape), sum(_size(u.shape) for u in users)))
    if users and all(
        u.opcode == "dynamic-update-slice" and u.operands[0] == parameter.name for u in users
    ):
        return 0.0  # updated in place
    return _hbm(shape)


def _written(body: list[Instruction], shape: str) -> float:
    by_name = {b.name: b for b in body}
    root = next((b for b in body if b.root), None)
    results = [by_name.get(o) for o in root.operands] if root and root.opcode == "tuple" else [root]
    saved = sum(
        _size(r.shape) - _size(by_name[r.operands[1]].shape)
        for r in results
        if r is not None and r.opcode == "dynamic-update-slice" and r.operands[1] in by_name
    )
    return max(_hbm(shape) - saved, 0.0)


def _size(shape: str) -> float:
    """Bytes of an array or a tuple of arrays."""
    return sum(_array(kind, sides) for kind, sides, _ in _SHAPE.findall(shape))


def _hbm(shape: str) -> float:
    """The same without arrays that a TPU keeps on the chip: their layout names a memory space."""
    return sum(
        _array(kind, sides) for kind, sides, layout in _SHAPE.findall(shape) if "S(" not in layout
    )


def _array(kind: str, sides: str) -> float:
    count = math.prod(int(side) for side in sides.split(",") if side)
    digits = re.search(r"\d+", kind)
    return count * _BYTES.get(kind, int(digits[0]) / 8 if digits else 0)
