"""Headers that claim a giant picture are refused at once, in every format of frames."""

import itertools
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from afn_jax.data.files.image import decode_picture, read_picture
from afn_jax.data.files.picture_size import MOST_PIXELS

GIANT = 30_000
SIZE = 48, 64  # height, width


def encoded(extension, *options):
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    return bytearray(cv2.imencode(extension, picture, options)[1].tobytes())


def put(data, at, layout, *values):
    data[at : at + struct.calcsize(layout)] = struct.pack(layout, *values)
    return bytes(data)


def claiming(kind, width, height):
    """Returns a small file of this kind whose header claims a size."""
    if kind == "png":
        data = encoded(".png")
        put(data, 16, ">II", width, height)
        return put(data, 29, ">I", zlib.crc32(data[12:29]))
    if kind in ("jpg", "progressive jpg"):
        data = encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, int(kind != "jpg"))
        start = data.index(b"\xff\xc0" if kind == "jpg" else b"\xff\xc2")
        return put(data, start + 5, ">HH", height, width)
    if kind == "bmp":
        return put(encoded(".bmp"), 18, "<ii", width, height)
    if kind == "bmp from the top":
        return put(encoded(".bmp"), 18, "<ii", width, -height)
    if kind == "ppm":
        return b"P6\n# comment 1 1\n%d %d\n255\nabc" % (width, height)
    if kind == "ascii ppm":
        return b"P3 %d %d\n255\n1 2 3" % (width, height)
    if kind == "webp":
        data = encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 50)
        return put(data, data.index(b"\x9d\x01\x2a") + 3, "<HH", width, height)
    if kind == "lossless webp":
        data = encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
        start = data.index(b"VP8L") + 9
        return put(data, start, "<I", width - 1 | height - 1 << 14)
    if kind == "jp2":
        data = encoded(".jp2")
        start = data.index(b"\xff\x51")
        put(data, data.index(b"ihdr") + 4, ">II", height, width)
        put(data, start + 22, ">II", width, height)
        return put(data, start + 6, ">II", width, height)
    if kind == "tiff":
        data = encoded(".tiff")
        (start,) = struct.unpack("<I", data[4:8])
        for at in range(start + 2, len(data) - 12, 12):
            (tag,) = struct.unpack("<H", data[at : at + 2])
            if tag in (256, 257):
                put(data, at, "<HHII", tag, 4, 1, width if tag == 256 else height)
        return bytes(data)
    raise AssertionError(kind)


KINDS = ("png", "jpg", "progressive jpg", "bmp", "bmp from the top", "ppm", "ascii ppm", "jp2")
WEBP = ("webp", "lossless webp")  # at most 16,383 pixels wide


@pytest.mark.parametrize(
    "kind, side", [*((k, GIANT) for k in (*KINDS, "tiff")), *((k, 16_383) for k in WEBP)]
)
def test_refuses_giant_claims_before_they_are_decoded(tmp_path, monkeypatch, kind, side):
    if kind != "tiff":  # left to OpenCV, which refuses it itself
        monkeypatch.setattr(cv2, "imdecode", None)
    path = tmp_path / "frame.picture"
    path.write_bytes(claiming(kind, side, side))
    tracemalloc.start()
    with pytest.raises(ValueError, match="frame.picture: ") as error:
        decode_picture(path, cv2.IMREAD_COLOR_RGB)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert kind == "tiff" or f"{side} x {side} pixels, but at most" in str(error.value)


@pytest.mark.parametrize("kind", [*KINDS[:-1]])
def test_refuses_more_pixels_than_fit_into_the_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cv2, "imdecode", None)
    path = tmp_path / "a"
    path.write_bytes(claiming(kind, 11_000, 11_001))
    with pytest.raises(ValueError, match="a: the header says 11000 x 11001 pixels, which need at"):
        decode_picture(path, cv2.IMREAD_COLOR_RGB)


def test_refuses_png_chunks_that_are_longer_than_the_file(tmp_path):
    """OpenCV allocates the length of a chunk, up to 4 GB."""
    path, data = tmp_path / "a.png", encoded(".png")
    start = data.index(b"IDAT") - 4
    for length in (0x7FFF_0000, len(data)):
        path.write_bytes(put(data, start, ">I", length))
        with pytest.raises(ValueError, match="a.png: a truncated PNG"):
            decode_picture(path, cv2.IMREAD_COLOR_RGB)


def test_refuses_sizes_that_opencv_refuses_with_an_exception(tmp_path):
    path = tmp_path / "a.pam"
    header = b"P7\nWIDTH 2000000\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    path.write_bytes(header + b"abc")
    with pytest.raises(ValueError, match="not an image that OpenCV can read"):
        decode_picture(path, cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("value", [0, 200])
def test_reads_pictures_that_compress_as_well_as_can_be(tmp_path, value):
    """One color compresses best: the bounds on bytes must let it pass, at one bit per pixel too."""
    picture = np.full((1500, 1700, 3), value, np.uint8)
    best = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        ".jpeg": [*(cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1)],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],
        ".jp2": [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1],
        **dict.fromkeys((".bmp", ".ppm", ".tiff", ".pgm", ".pbm"), ()),
    }
    for (extension, options), gray in itertools.product(best.items(), (False, True)):
        if extension in (".ppm", ".pgm", ".pbm") and gray == (extension == ".ppm"):
            continue
        path = tmp_path / f"a{extension}"
        cv2.imwrite(str(path), picture[..., 0] if gray else picture, options)
        assert read_picture(path).shape == picture.shape, extension
    cv2.imwrite(str(tmp_path / "b.png"), picture[..., 0], [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert read_picture(tmp_path / "b.png").shape == picture.shape


def test_the_bound_leaves_room_for_the_largest_videos():
    assert MOST_PIXELS > 12_288 * 6_480  # 12K


def test_a_png_is_whole_if_all_its_chunks_are_in_the_file(tmp_path):
    """OpenCV would allocate 2 GB for a chunk that claims to be as long."""
    picture = np.full((6, 8, 3), 50, np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(data + b"more")
    np.testing.assert_array_equal(read_picture(path), picture)
    at = data.index(b"IDAT") - 4
    for damaged in (data[:at] + b"\x7f\xff\xff\xf0" + data[at + 4 :], data[:-6], data[:40]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.png: a truncated PNG"):
            read_picture(path)
