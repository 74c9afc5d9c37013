"""Mutations of bytes, text and JSON. All are functions of a `random.Random` and the content."""

import json
import random
import struct
from collections.abc import Sequence

EXTREMES = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 10**5, 10**6, 2**24)
EXTREMES += (2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -1, -2, -(2**31))
NUMBERS = ("0", "-0", "1", "-1", "1.5", "nan", "NaN", "inf", "-Infinity", "1e400", "1e308", "0x10")
NUMBERS += ("4294967296", "9" * 19, "9" * 400, "9" * 5000, "٣", "²", "1_000", "1e", "+1", "00001")
WORDS = ("", " ", "\t", "\0", "\ufeff", "\u202e", "\u2028", "é", "e\u0301", "😀", "\ud7ff", "\x85")
WORDS += ("..", "/", "\\", "../../etc", "C:\\x", '"', "'", ",", ";", "{", "}", "[", "]", ":", "%s")
WORDS += ("null", "true", "None", "\r", "\n\n", "#", "//", "/*", "=", "x" * 5000, "a/" * 300)
SEPARATORS = (" ", ",", ";", "\t", "\n", "\r\n", "/", ":", '"', ".")


def mutate(rng: random.Random, content: bytes, others: Sequence[bytes], text: bool) -> bytes:
    """Applies one to four mutations; now and then replaces everything."""
    if rng.random() < 0.01:
        return rng.choice((b"", b"\0", bytes(64), rng.randbytes(rng.randint(1, 300)), b"{}", b"[]"))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if text and rng.random() < 0.75:
            content = mutate_text(rng, content)
        else:
            content = _mutate_bytes(rng, content, others)
    return content[:2_000_000]


def _mutate_bytes(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    data = bytearray(content)
    size = len(data)
    if not size:
        return rng.randbytes(rng.randint(0, 40))
    kind = rng.randrange(9)
    # Half of the changes are in the first bytes, where the header is.
    at = rng.randrange(size) if rng.random() < 0.5 else rng.randrange(min(size, 64))
    length = min(size - at, int(2 ** rng.uniform(0, 9)))
    if kind == 0:  # flip bits
        for _ in range(rng.choice((1, 1, 2, 8, 32))):
            data[rng.randrange(size) if rng.random() < 0.5 else at] ^= 1 << rng.randrange(8)
    elif kind == 1:  # overwrite
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:  # fill
        data[at : at + length] = bytes([rng.choice((0, 255, 0x7F, 0x80, 0x20))]) * length
    elif kind == 3:  # truncate
        del data[at if rng.random() < 0.5 else rng.randrange(size) :]
    elif kind == 4:  # insert
        data[at:at] = rng.randbytes(length)
    elif kind == 5:  # duplicate
        data[at:at] = bytes(data[at : at + length]) * rng.choice((1, 1, 3, 50))
    elif kind == 6:  # delete
        del data[at : at + length]
    elif kind == 7 and others:  # splice two inputs
        other = rng.choice(others)
        data[at:] = other[rng.randrange(len(other) + 1) :]
    else:  # an extreme integer or float
        data = bytearray(put_extreme(rng, bytes(data), at))
    return bytes(data)


def put_extreme(rng: random.Random, content: bytes, at: int, form: str = "") -> bytes:
    """Writes an extreme number at an offset, with a format of `struct` or a random one."""
    form = form or rng.choice("<>") + rng.choice("BHIQiqfd")
    size = struct.calcsize(form)
    if form[-1] in "fd":
        value = rng.choice((0.0, -0.0, 1e-40, 1e30, -1e30, float("inf"), float("nan"), -1.0, 2.5))
        packed = struct.pack(form, value)
    else:
        packed = (rng.choice(EXTREMES) % 2 ** (8 * size)).to_bytes(
            size, "big" if form[0] == ">" else "little"
        )
    return content[:at] + packed + content[at + size :]


def fields(*places: tuple[int, str]):
    """A mutation of header fields, given as (offset, format of `struct`)."""

    def change(rng: random.Random, content: bytes) -> bytes:
        for at, form in rng.sample(places, rng.randint(1, len(places))):
            content = put_extreme(rng, content, at, form)
        return content

    return change


def mutate_text(rng: random.Random, content: bytes) -> bytes:
    """Swaps, repeats, removes and replaces tokens and lines of text."""
    text = content.decode("utf-8", "surrogateescape")
    kind = rng.randrange(8)
    if kind < 3:
        tokens = _tokens(text)
        if tokens:
            at = rng.randrange(len(tokens))
            if kind == 0:
                tokens[at] = rng.choice(NUMBERS if rng.random() < 0.6 else WORDS)
            elif kind == 1:
                other = rng.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            else:
                tokens[at : at + 1] = [tokens[at]] * rng.choice((0, 2, 3, 40))
        text = "".join(tokens)
    elif kind < 6:
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        if kind == 3:
            lines[at : at + 1] = [lines[at]] * rng.choice((0, 2, 3, 100))
        elif kind == 4:
            rng.shuffle(lines)
        else:
            lines[at] += rng.choice((*WORDS, " 1", ",", ",,,,", " x" * 50_000, "y" * 200_000))
        text = "\n".join(lines)
    elif kind == 6:
        old, new = rng.choice(SEPARATORS), rng.choice((*SEPARATORS, *WORDS))
        text = text.replace(old, new, rng.choice((1, 3, 10_000)))
    else:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice((*WORDS, *NUMBERS)) + text[at:]
    if rng.random() < 0.02:
        encoding = rng.choice(("utf-16", "utf-8-sig", "latin-1", "utf-32"))
        return text.encode(encoding, "replace")
    return text.encode("utf-8", "surrogateescape")


def _tokens(text: str) -> list[str]:
    tokens, word = [], ""
    for letter in text:
        if letter in ' ,;\t\n\r/:"{}[]#=':
            tokens += [word, letter] if word else [letter]
            word = ""
        else:
            word += letter
    return tokens + [word] * bool(word)


def mutate_json(rng: random.Random, content: bytes) -> bytes:
    """Replaces, removes, adds and nests values of JSON text; other content is mutated as text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_text(rng, content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _change(rng, value)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return content
    if rng.random() < 0.05:
        depth = rng.choice((50, 990, 5000, 100_000))
        before, after = rng.choice((("[", "]"), ('{"a":', "}")))
        at = rng.randrange(len(text) + 1) if rng.random() < 0.3 else 0
        text = text[:at] + before * depth + text[at:] + after * depth
    return text.encode("utf-8", "surrogatepass")


def json_lines(rng: random.Random, content: bytes) -> bytes:
    """`mutate_json` for one of the lines."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = mutate_json(rng, lines[at])
    return b"\n".join(lines)


def _change(rng: random.Random, value):
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        kind = rng.random()
        if kind < 0.12:
            del value[key]
        elif kind < 0.2 and isinstance(value, dict):
            value[rng.choice(("extra", "", "0", "\0", key + " ", key.upper()))] = value[key]
        elif kind < 0.2:
            value += [value[key]] * rng.choice((1, 2, 100))
        else:
            value[key] = _change(rng, value[key])
        return value
    return rng.choice(
        (
            *(None, True, False, 0, 1, -1, 1.5, -0.5, 1e308, 10**6, 10**19, 2**63, float("nan")),
            *(float("inf"), 10**12, "", "x", "0", "nan", "\0", "\ud800", "x" * 10_000, "../..", []),
            *({}, [[]], [0], ["a", "b"], {"a": 1}, [None] * 3, [value, value], {"0": value}, value),
        )
    )
