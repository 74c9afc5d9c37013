"""`.flo` files: round trips and damaged files."""

import struct

import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo, write_flo


def test_round_trip(tmp_path):
    flow = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    known = np.random.default_rng(1).random((3, 5)) < 0.7
    write_flo(tmp_path / "a.flo", flow)
    read, mask = read_flo(tmp_path / "a.flo")
    np.testing.assert_array_equal(read, flow)
    assert mask.all()
    write_flo(tmp_path / "b.flo", flow, known)
    read, mask = read_flo(tmp_path / "b.flo")
    np.testing.assert_array_equal(mask, known)
    np.testing.assert_array_equal(read, np.where(known[..., None], flow, 0))


def test_writes_the_bytes_of_the_format(tmp_path):
    """Width before height, x before y, little-endian."""
    flow = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_flo(tmp_path / "a.flo", flow)
    expected = b"PIEH" + struct.pack("<ii12f", 3, 2, *range(12))
    assert (tmp_path / "a.flo").read_bytes() == expected


def test_nan_and_huge_values_are_unknown(tmp_path):
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, 0, 0], flow[0, 1, 1] = np.nan, 2e9
    write_flo(tmp_path / "a.flo", flow)
    read, mask = read_flo(tmp_path / "a.flo")
    np.testing.assert_array_equal(mask, [[False, False, True]])
    assert np.isfinite(read).all()


def test_reads_real_ground_truth(shared_data):
    for path in sorted((shared_data / "flow_middlebury" / "other-gt-flow").glob("*/flow10.flo")):
        flow, known = read_flo(path)
        assert flow.shape[:2] == known.shape and 0.9 < known.mean() <= 1
        assert np.abs(flow).max() < 50


GOOD = b"PIEH" + struct.pack("<ii2f", 1, 1, 0, 0)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not a .flo file"),
        (b"PIEX" + GOOD[4:], "not a .flo file"),
        (GOOD[:-1], "19 bytes, but a flow of 1 x 1 pixels has 20"),
        (GOOD + b"x", "21 bytes"),
        (b"PIEH" + struct.pack("<ii", -1, 5), "the header says -1 x 5"),
        (b"PIEH" + struct.pack("<ii", 2**30, 2**30), "the file is damaged"),
        (b"PIEH" + struct.pack("<ii", 11_000, 11_000), "11000 x 11000 pixels has 968000012"),
    ],
)
def test_rejects_damaged_files(tmp_path, data, message):
    (tmp_path / "bad.flo").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_flo(tmp_path / "bad.flo")
    assert "bad.flo" in str(error.value)


def test_does_not_write_arrays_of_wrong_shape(tmp_path):
    with pytest.raises(ValueError, match=r"flow has shape \(2, 3\)"):
        write_flo(tmp_path / "a.flo", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"known has shape \(3,\); it must be \(2, 3\)"):
        write_flo(tmp_path / "a.flo", np.zeros((2, 3, 2)), np.ones(3, bool))
    assert not (tmp_path / "a.flo").exists()
