"""Names of frames with a clock in several numbers, such as `00_00_59.jpg` and `00_01_00.jpg`."""

import re
from collections.abc import Sequence

# What the fields of a clock count to, from the last one on. Before them may be one more field.
_CHAINS = (
    (60, 60, 24),  # day, hour, minute, second
    (60, 24),  # day, hour, minute
    *((rate, 60, 60, 24) for rate in (24, 25, 30, 50, 60)),  # the last one counts frames
)
_BETWEEN = re.compile(r"[\W_]*(?:h|m|s|min|sec)?[\W_]*", re.IGNORECASE)


def clock_numbers(texts: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int] | None:
    """Returns numbers that order names by their clock, in units of its last field.

    None if the numbers that vary are not surely a clock. Guessed: they are one if

    - each has the same number of digits in all names, or no leading zeros,
    - the steps where an earlier field changes are not larger than the others, and
    - the last field does not start at 0, or its steps are larger than 1, or there are three fields
      of two digits. Otherwise the first may be the number of a camera, with a count of its own.

    Args:
        texts: the texts before, between and after the numbers, equal in all names.
        rows: the numbers of each name, as in the name.
    """
    columns = list(zip(*rows, strict=True))
    varying = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(varying) < 2:
        return None
    first, last = varying[0], varying[-1]
    fields = columns[first : last + 1]
    digits = max(map(len, fields[-1]))
    if not all(_one_width(field) or (digits < 3 and _unpadded(field)) for field in fields):
        return None
    if not all(_BETWEEN.fullmatch(text) for text in texts[first + 1 : last + 1]):
        return None
    chains = _CHAINS if digits == 2 else ((10**digits, 60, 60, 24),) if digits > 2 else ()
    counts = [tuple(map(int, row)) for row in zip(*fields, strict=True)]
    for chain in chains:
        numbers = _in_units(counts, chain)
        if numbers is not None and _is_clock(counts, numbers, _fields_before(columns, texts, last)):
            return numbers
    return None


def _one_width(field: Sequence[str]) -> bool:
    return len({len(text) for text in field}) == 1


def _unpadded(field: Sequence[str]) -> bool:
    return all(text == str(int(text)) for text in field)


def _in_units(counts: list[tuple[int, ...]], chain: tuple[int, ...]) -> list[int] | None:
    """Returns the numbers that the fields make; None if a field exceeds what it counts to."""
    if len(counts[0]) > len(chain) + 1:
        return None
    numbers, unit = [0] * len(counts), 1
    for place in range(len(counts[0])):
        column = [count[-1 - place] for count in counts]
        numbers = [number + unit * value for number, value in zip(numbers, column, strict=True)]
        if place < len(chain):
            unit *= chain[place]
            if max(column) >= chain[place]:
                return None
    return numbers


def _is_clock(counts: list[tuple[int, ...]], numbers: list[int], shape: int) -> bool:
    order = sorted(range(len(counts)), key=counts.__getitem__)
    pairs = list(zip(order, order[1:], strict=False))
    within = [numbers[b] - numbers[a] for a, b in pairs if counts[a][:-1] == counts[b][:-1]]
    across = [numbers[b] - numbers[a] for a, b in pairs if counts[a][:-1] != counts[b][:-1]]
    if not within or min(within + across) < 1 or max(across) > max(within):
        return False
    return min(within) > 1 or shape > 2 or counts[order[0]][-1] > 0


def _fields_before(columns: list[tuple[str, ...]], texts: Sequence[str], last: int) -> int:
    """Returns how many fields of two digits end with the last one, with no letters between."""
    count = 0
    for place in range(last, -1, -1):
        if {len(text) for text in columns[place]} != {2}:
            break
        count += 1
        if not _BETWEEN.fullmatch(texts[place]):
            break
    return count
