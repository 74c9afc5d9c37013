"""Mutations inside formats with checksums and lengths, which plain mutations would only break."""

import io
import json
import random
import struct
import zipfile
import zlib

from benchmarks.fuzzing.mutations import mutate, mutate_json, put_extreme

PNG_START = b"\x89PNG\r\n\x1a\n"


def png(rng: random.Random, content: bytes) -> bytes:
    """Changes, removes or repeats chunks of a PNG; the checksums stay right."""
    if not content.startswith(PNG_START):
        return mutate(rng, content, (), False)
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return content
    number = rng.randrange(len(chunks)) if rng.random() < 0.4 else 0
    kind, body = chunks[number]
    choice = rng.random()
    if kind == b"IHDR" and choice < 0.8 and len(body) >= 13:  # width, height, depth, color ...
        form = rng.choice(((0, ">I"), (4, ">I"), (8, "B"), (9, "B"), (12, "B")))
        body = put_extreme(rng, body, *form)
    elif choice < 0.3:
        chunks.insert(number, (rng.choice((b"tEXt", b"zTXt", b"iCCP", b"PLTE", b"acTL")), body))
    elif kind == b"IDAT" and choice < 0.7:
        try:
            body = zlib.compress(mutate(rng, zlib.decompress(body), (), False))
        except zlib.error:
            body = mutate(rng, body, (), False)
    else:
        body = mutate(rng, body, (), False)
    chunks[number] = (kind, body)
    return PNG_START + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def archive(rng: random.Random, content: bytes) -> bytes:
    """Changes, removes, renames or adds a member of a zip archive; its directory stays right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            members = [(name, old.read(name)) for name in old.namelist()]
    except Exception:  # it was damaged before
        return mutate(rng, content, (), False)
    if not members:
        return content
    number = rng.randrange(len(members))
    name, body = members[number]
    choice = rng.random()
    if choice < 0.7:
        members[number] = (name, mutate(rng, body, [b for _, b in members], False))
    elif choice < 0.8:
        del members[number]
    elif choice < 0.9:
        members.append((name, body[: len(body) // 2]))
    else:
        members[number] = (name + rng.choice(("x", "/", "\0", ".npy")), body)
    result = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(result, "w", packing) as new:
        for name, body in members:
            new.writestr(zipfile.ZipInfo(name), body, packing)
    return result.getvalue()


def npz(rng: random.Random, content: bytes) -> bytes:
    """Like `archive`; also changes the headers of the arrays."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            members = {name: old.read(name) for name in old.namelist()}
    except Exception:
        return mutate(rng, content, (), False)
    if not members or rng.random() < 0.4:
        return archive(rng, content)
    name = rng.choice(sorted(members))
    body = members[name]
    old, new = rng.choice(
        (
            *((b"'<f8'", b"'|O'"), (b"'<f8'", b"'<U9'"), (b"<i8", b"<c16"), (b"<i8", b"<f8")),
            *((b"False", b"True "), (b"(", b"(9, "), (b"(", b"(-1,"), (b"(", b"(1000000000000,")),
            *((b"<U", b"<U9"), (b"{", b"["), (b"<f8", b"<i1"), (b"<f8", b">f8"), (b"<i8", b"|b1")),
        )
    )
    body = body.replace(old, new, 1)
    if len(body) > 10:  # the length of the header
        end = body.find(b"\n")
        if end > 10 and rng.random() < 0.9:
            body = body[:8] + struct.pack("<H", min(65535, end + 1 - 10)) + body[10:]
    members[name] = body
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as file:
        for name, body in members.items():
            file.writestr(zipfile.ZipInfo(name), body)
    return result.getvalue()


def safetensors(rng: random.Random, content: bytes) -> bytes:
    """Changes the JSON header of a safetensors file; its length stays right."""
    length = int.from_bytes(content[:8], "little")
    header = mutate_json(rng, content[8 : 8 + length])
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def compact_json(value) -> bytes:
    """JSON as bytes."""
    return json.dumps(value, indent=1).encode()
