"""Flow files of a video, read again."""

import jax
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo, read_flow
from afn_jax.data.files.image import read_picture
from afn_jax.data.sources.mark import MARK_FILE
from afn_jax.ops import flow_to_rgb
from afn_jax.predict.film.writer import FilmWriter
from afn_jax.predict.flow.files import FLOW_KINDS, flow_path, open_flow_writer, write_flow_file
from tests.full_disk import small_disk
from tests.predict.film.decoded_film import decoded, gray

to_rgb = jax.jit(flow_to_rgb, static_argnames="max_magnitude")
FLOWS = np.random.default_rng(0).normal(0, 5, (3, 12, 16, 2)).astype(np.float32)
FRAMES, TIMES = (0, 2, 4), (0.0, 0.08, 0.2)


def write(kind, path, flows=FLOWS, pictures=(None,) * 3, **settings):
    with open_flow_writer(kind, path, **settings) as writer:
        for flow, frame, time, picture in zip(flows, FRAMES, TIMES, pictures, strict=True):
            writer.add(flow, frame, time, picture)
    return writer


def test_paths():
    names = [flow_path("out/a.b", kind).as_posix() for kind in FLOW_KINDS]
    assert names == ["out/a.b.npz", "out/a.b_flo", "out/a.b_kitti", "out/a.b_png", "out/a.b.mp4"]


def test_npz(tmp_path):
    flows = FLOWS.copy()
    flows[1, 2, 3] = np.nan
    flows[2, 0, 0] = 1e10, 0  # unknown as in .flo
    flows[2, 0, 1] = 1e6, 0  # more than float16 holds
    write("npz", tmp_path / "a.npz", flows)
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file) == ["flow", "frames", "times"]
        flow = file["flow"]
        np.testing.assert_array_equal(file["frames"], FRAMES)
        np.testing.assert_array_equal(file["times"], TIMES)
    assert flow.dtype == np.float16
    assert np.isnan(flow[1, 2, 3]).all() and np.isnan(flow[2, 0, 0]).all()
    assert flow[2, 0, 1].tolist() == [65504, 0]
    np.testing.assert_allclose(flow[0], FLOWS[0], rtol=1e-3, atol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("kind, suffix", [("flo", "flo"), ("kitti", "png")])
def test_folders_of_flow(tmp_path, kind, suffix):
    folder = flow_path(tmp_path / "a", kind)
    for _ in range(2):  # the second time, the folder is there
        write(kind, folder)
    names = sorted(file.name for file in folder.iterdir())
    assert names == [MARK_FILE, *(f"00000{frame}.{suffix}" for frame in FRAMES)]
    for name, expected in zip(names[1:], FLOWS, strict=True):
        flow, known = read_flow(folder / name)
        assert known.all()
        np.testing.assert_allclose(flow, expected, atol=1 / 128 if kind == "kitti" else 0)
    assert list(tmp_path.iterdir()) == [folder]


def test_kitti_marks_what_it_cannot_hold(tmp_path):
    flows = FLOWS.copy()
    flows[0, 0, 0] = 512, 0
    flows[1, 0, :2] = 0, -512.1
    flows[1, 1, 1] = np.nan
    flows[2, 0, 0] = -512, 511.98
    writer = write("kitti", tmp_path / "a", flows)
    (note,) = writer.notes
    assert "3 pixels move by 512 px or more" in note
    assert not read_flow(tmp_path / "a" / "000000.png")[1][0, 0]
    assert read_flow(tmp_path / "a" / "000002.png")[1].sum() == 12 * 16 - 3
    assert read_flow(tmp_path / "a" / "000004.png")[1].all()


def test_color_pictures_and_video(tmp_path):
    write("png", tmp_path / "png", max_magnitude=8.0)
    for frame, flow in zip(FRAMES, FLOWS, strict=True):
        colors = read_picture(tmp_path / "png" / f"00000{frame}.png")
        expected = np.asarray(to_rgb(flow, max_magnitude=8.0)).astype(int)
        assert np.abs(colors - expected).max() <= 1  # rounded differently
    right = np.ones((3, 12, 16, 2)) * [6.0, 0.0]  # red
    for pictures in ((None,) * 3, (gray(24, 32),) * 3):
        write("mp4", tmp_path / "a.mp4", right, pictures, duration=0.3)
        times, frames = decoded(tmp_path / "a.mp4")
        np.testing.assert_allclose(times, TIMES, atol=1e-4)
        red, green, blue = frames[1, 120, -60].astype(int)
        assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("kind", FLOW_KINDS)
def test_an_error_leaves_the_older_result(tmp_path, kind):
    path = flow_path(tmp_path / "a", kind)
    write(kind, path)
    before = sorted(file.name for file in tmp_path.rglob("*"))
    size = path.stat().st_size
    with pytest.raises(ZeroDivisionError):
        with open_flow_writer(kind, path) as writer:
            writer.add(FLOWS[0], 0, 0.0)
            raise ZeroDivisionError
    with pytest.raises(ValueError, match="got .*shape .* video"):
        write(kind, path, [FLOWS[0], np.zeros((5, 5, 2)), FLOWS[2]])
    with open_flow_writer(kind, path):
        pass  # no flow
    assert sorted(file.name for file in tmp_path.rglob("*")) == before
    assert path.stat().st_size == size
    with pytest.raises(OSError, match="no"):
        write(kind, tmp_path / "no" / "a")


def test_does_not_remove_other_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes.txt. Nothing is removed"):
        open_flow_writer("flo", tmp_path / "a")
    with pytest.raises(ValueError, match="got 'tiff'; allowed: npz, flo, kitti, png, mp4"):
        open_flow_writer("tiff", tmp_path / "b")


def test_single_files(tmp_path):
    assert write_flow_file("flo", tmp_path / "a.flo", FLOWS[0]) == 0
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo")[0], FLOWS[0])
    assert write_flow_file("kitti", tmp_path / "a.png", FLOWS[0] * 1e3) > 0
    write_flow_file("png", tmp_path / "b.png", FLOWS[0])
    np.testing.assert_allclose(
        read_picture(tmp_path / "b.png").astype(int),
        np.asarray(to_rgb(FLOWS[0])).astype(int),
        atol=1,
    )


@pytest.mark.parametrize("kind", ["film", *FLOW_KINDS])
def test_a_full_disk_leaves_nothing(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with small_disk(tmp_path / "disk", 1) as disk:
        path = disk / "a.mp4" if kind == "film" else flow_path(disk / "a", kind)
        with pytest.raises(OSError, match=f"No space left on device: .*{path.name}"):
            if kind == "film":
                with FilmWriter(path, height=240, width=320) as film:
                    for k in range(100):
                        film.add(np.roll(noise, 37 * k), k / 25)
            else:
                with open_flow_writer(kind, path) as writer:
                    for k in range(100):
                        writer.add(np.roll(noise[..., :2], 37 * k) / 10, k, k / 25)
        assert list(disk.iterdir()) == []
