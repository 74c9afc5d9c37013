"""The size that the header of an image file claims, and whether the file can hold it.

A damaged header can claim a size that takes seconds and gigabytes to decode. It is checked before a
decoder sees the file.
"""

import re
import struct

# Guessed: four times the pixels of an 8K frame.
MOST_PIXELS = 2**27

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
_DEFLATE = 1032  # bytes that one compressed byte of zlib can hold at most
# A JPEG spends at least one bit on each block of 8 x 8 pixels, unless it is arithmetic-coded.
_JPEG_PIXELS = 8 * 8 * 8  # per byte
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_ARITHMETIC = range(0xC9, 0xD0)
_PNM = re.compile(rb"P([1-6])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_PNM_BITS = {1: 8, 2: 8, 3: 24, 4: 1, 5: 8, 6: 24}  # per pixel, at least; ASCII takes a digit


def check_claimed_size(data: bytes) -> None:
    """Checks the size in the header of a PNG, JPEG, JPEG 2000, BMP, GIF, WebP or PNM file.

    The headers of other formats are left to the decoder.

    Raises:
        ValueError: the picture has more than `MOST_PIXELS` pixels, or more than fit into a file of
            this many bytes; or a PNG is truncated.
    """
    if data.startswith(_PNG):
        _check_chunks(data)
    claim = _claim(data)
    if claim is None:
        return
    width, height, least_bytes = claim
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"the header says {width} x {height} pixels, but at most {MOST_PIXELS:,} pixels are "
            "read; the file is damaged, or should be scaled down"
        )
    if len(data) < least_bytes:
        raise ValueError(
            f"the header says {width} x {height} pixels, which need at least {least_bytes:,} "
            f"bytes, but the file has {len(data):,}; the file is truncated or its header is wrong"
        )


def _check_chunks(data: bytes) -> None:
    """Raises ValueError unless the chunks of a PNG are all in the file, up to the last one.

    OpenCV can accept a truncated PNG and leave the rest of it black. For a chunk that claims to be
    longer than the file, it allocates as much as the chunk claims.
    """
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND" and at <= len(data):
            return
    raise ValueError(f"a truncated PNG ({len(data):,} bytes); download the file again")


def _claim(data: bytes) -> tuple[int, int, int] | None:
    """Returns width, height and the least number of bytes that such a file has, if known."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 33:
        width, height, bits, color = struct.unpack(">IIBB", data[16:26])
        row = 1 + (width * bits * _PNG_CHANNELS.get(color, 1) + 7) // 8
        return width, height, height * row // _DEFLATE
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:2] == b"BM" and len(data) >= 34 and struct.unpack("<I", data[14:18])[0] >= 40:
        width, height, _, bits, compression = struct.unpack("<iiHHI", data[18:34])
        width, height = abs(width), abs(height)  # rows from the top have a negative height
        plain = compression in (0, 3)  # the others are run lengths, or a JPEG or PNG inside
        return width, height, (width * bits + 7) // 8 * height if plain else 0
    if data[:4] in (b"GIF8",) and len(data) >= 10:
        return *struct.unpack("<HH", data[6:10]), 0
    if data[4:8] == b"jP  " or data.startswith(b"\xff\x4f\xff\x51"):
        return _jpeg_2000(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    if match := _PNM.match(data[:1000]):
        kind, width, height = (int(group) for group in match.groups())
        return width, height, width * height * _PNM_BITS[kind] // 8
    return None


def _jpeg(data: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            least = 0 if marker in _JPEG_ARITHMETIC else width * height // _JPEG_PIXELS
            return width, height, least
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _jpeg_2000(data: bytes) -> tuple[int, int, int] | None:
    at = data.find(b"\xff\x4f\xff\x51", 0, 100_000)  # start of the code stream, and its size
    if at < 0 or at + 24 > len(data):
        return None
    right, bottom, left, top = struct.unpack(">IIII", data[at + 8 : at + 24])
    return max(0, right - left), max(0, bottom - top), 0


def _webp(data: bytes) -> tuple[int, int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    else:
        return None
    return width, height, 0
