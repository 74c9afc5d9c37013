"""KITTI's PNG, PFM and the choice of format: against known bytes and other readers."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flow, read_kitti_png, write_flow, write_kitti_png
from afn_jax.data.files.image import read_mask, read_picture
from afn_jax.data.files.pfm import read_pfm, write_pfm


def png(values: np.ndarray) -> bytes:
    """Encodes `[H, W, 3]` RGB, uint8 or uint16, as PNG according to the specification."""
    height, width, _ = values.shape
    bits = 8 * values.itemsize

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def example(seed=0):
    random = np.random.default_rng(seed)
    flow = random.uniform(-500, 500, (5, 7, 2)).astype(np.float32)
    return flow, random.random((5, 7)) < 0.6


def test_kitti_png_matches_known_bytes(tmp_path):
    """Red is x, green is y, (v - 32768) / 64; blue is the mask."""
    values = np.array([[[32768, 32768, 1], [32832, 32704, 1], [0, 65535, 1], [5, 6, 0]]], np.uint16)
    (tmp_path / "a.png").write_bytes(png(values))
    flow, known = read_kitti_png(tmp_path / "a.png")
    np.testing.assert_array_equal(known, [[True, True, True, False]])
    np.testing.assert_array_equal(flow, [[[0, 0], [1, -1], [-512, 32767 / 64], [0, 0]]])
    assert flow.dtype == np.float32


def test_reads_real_kitti(shared_data):
    path = shared_data / "flow_kitti/training/flow_occ/000000_10.png"
    flow, known = read_flow(path)
    assert flow.shape == (375, 1242, 2) and 0.1 < known.mean() < 0.3
    assert (flow[~known] == 0).all() and np.abs(flow).max() < 512


@pytest.mark.parametrize("ending", [".flo", ".png", ".pfm", ".FLO"])
def test_round_trip(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    flow, known = example()
    tolerance = 1 / 128 + 1e-6 if ending == ".png" else 0
    write_flow(path, flow)
    read, mask = read_flow(path)
    assert mask.all()
    np.testing.assert_allclose(read, flow, rtol=0, atol=tolerance)
    flow[~known] = np.nan  # unknown flow may be anything
    write_flow(path, flow, known)
    read, mask = read_flow(path)
    np.testing.assert_array_equal(mask, known)
    np.testing.assert_allclose(read[known], flow[known], rtol=0, atol=tolerance)
    assert (read[~known] == 0).all()


@pytest.mark.parametrize("kind, channels", [("PF", 3), ("Pf", 1)])
@pytest.mark.parametrize("order, scale", [("<", b"-1.0"), (">", b"1e0")])
def test_pfm_matches_known_bytes(tmp_path, kind, channels, order, scale):
    """The bottom row comes first."""
    count = 2 * 3 * channels
    data = (
        kind.encode() + b"\n3 2\n" + scale + b"\n" + struct.pack(f"{order}{count}f", *range(count))
    )
    (tmp_path / "a.pfm").write_bytes(data)
    expected = np.arange(count, dtype=np.float32).reshape(2, 3, channels)[::-1]
    np.testing.assert_array_equal(read_pfm(tmp_path / "a.pfm").reshape(2, 3, channels), expected)


@pytest.mark.parametrize(
    "header",
    [
        b"PF\n# made by a renderer, 7 7\n2 1\n-1\n",
        b"PF\r\n#\r\n# two\r\n2 1\r\n# scale: 5\r\n-1\r\n",
        b"PF # after the kind\n2 # width\n1\n-1.5e-3\n",
        b"PF\n" + 50 * b"# a long description of the camera\n" + b"2 1\n-1\n",
    ],
)
def test_pfm_header_may_have_comments(tmp_path, header):
    values = np.arange(6, dtype="<f4").reshape(1, 2, 3)
    (tmp_path / "a.pfm").write_bytes(header + values.tobytes())
    flow, known = read_flow(tmp_path / "a.pfm")
    np.testing.assert_array_equal(flow, values[..., :2])
    assert known.all()


def test_pfm_data_may_start_like_a_comment(tmp_path):
    data = b"#\x00\x00\x40" + bytes(8)
    (tmp_path / "a.pfm").write_bytes(b"PF\n1 1\n-1\n" + data)
    expected = np.frombuffer(data, "<f4")[:2]
    np.testing.assert_array_equal(read_flow(tmp_path / "a.pfm")[0][0, 0], expected)


def test_pfm_matches_opencv(tmp_path, shared_data):
    values = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    write_pfm(tmp_path / "a.pfm", values)
    theirs = cv2.imread(str(tmp_path / "a.pfm"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(theirs, values)
    for path in sorted((shared_data / "flow_formats").rglob("*.pfm")):
        theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read_pfm(path), theirs)
        with pytest.raises(ValueError, match="one channel, but flow has three"):
            read_flow(path)


GRAY16 = cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()
COLOR8 = png(np.zeros((4, 4, 3), np.uint8))
GOOD = png(np.random.default_rng(0).integers(0, 2**16, (40, 40, 3)).astype(np.uint16))
PFM = b"PF\n2 2\n-1\n" + bytes(48)


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.png", COLOR8, r"8 bits and 3 channel\(s\), but KITTI's flow has 16 bits and 3"),
        ("a.png", GRAY16, r"16 bits and 1 channel\(s\)"),
        ("a.png", b"", r"not an image that OpenCV can read \(0 bytes\)"),
        ("a.png", b"text", "not an image that OpenCV can read"),
        ("a.png", GOOD[: len(GOOD) // 2], "a truncated PNG"),
        ("a.png", GOOD[:-20], "a truncated PNG"),
        ("a.pfm", b"P6\n2 2\n-1\n" + bytes(48), "not a .pfm file"),
        ("a.pfm", PFM[:-1], "truncated or its header is wrong"),
        ("a.pfm", PFM + b"x", "59 bytes, but a map of 2 x 2 pixels with 3 .* has 58"),
        ("a.pfm", PFM.replace(b"2 2", b"-2 2"), "the header says -2 x 2 pixels"),
        (
            "a.pfm",
            PFM.replace(b"2 2", b"9999999 2"),
            "a map of 9999999 x 2 pixels .* has 239999992",
        ),
        ("a.pfm", PFM.replace(b"-1", b"0"), "scale 0; the file is damaged"),
        ("a.pfm", PFM.replace(b"2 2", b"11000 11000"), "11000 x 11000 pixels with 3 .* 1452000018"),
        ("a.pfm", PFM.replace(b"2 2", 5000 * b"9" + b" 2"), "not a .pfm file"),
        ("a.jpg", b"", r"ends in '.jpg'; allowed: \['.flo', '.png', '.pfm'\]"),
    ],
)
def test_rejects_damaged_files(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_flow(tmp_path / name)
    assert name in str(error.value)


def test_rejects_flow_beyond_the_range_of_kittis_png(tmp_path):
    flow = np.zeros((2, 2, 2), np.float32)
    for value in (512, -512.1, np.nan):
        flow[0, 1, 0] = value
        with pytest.raises(ValueError, match="KITTI's PNG holds -512 to 511.98"):
            write_kitti_png(tmp_path / "a.png", flow)
    assert not (tmp_path / "a.png").exists()


def test_reads_images_and_masks(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    values[0, 0] = 0
    (tmp_path / "a.png").write_bytes(png(values))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), values)
    assert read_mask(tmp_path / "a.png").sum() == 19 and not read_mask(tmp_path / "a.png")[0, 0]
    with pytest.raises(OSError):
        read_picture(tmp_path / "missing.png")
