"""Flow of pictures and videos, written and read again."""

import cv2
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo, read_flow
from afn_jax.data.source import VideoReadError
from afn_jax.data.teacher import DISTeacher
from afn_jax.predict.film.mp4 import Mp4Writer
from afn_jax.predict.flow.estimate import pair_flow, video_flow
from afn_jax.predict.flow.methods import DISMethod
from tests.predict.film.decoded_film import close, decoded, gray

SIZE = (40, 60)


def smooth_noise(count):
    """Frames that move 2 px to the right per frame."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    return [noise[5:45, 50 - 2 * k : 110 - 2 * k].copy() for k in range(count)]


class Constant:
    """A method whose flow is the same everywhere."""

    name, notes = "constant", ("a note",)

    def __init__(self, x, y):
        self.flow = np.full((*SIZE, 2), (x, y), np.float32)

    def flows(self, frames):
        for _ in list(frames)[1:]:
            yield self.flow


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A video, a folder of frames that strings would order otherwise, and the frames."""
    folder, frames = tmp_path_factory.mktemp("sources"), smooth_noise(5)
    (folder / "frames").mkdir()
    for number, frame in zip((1, 2, 9, 10, 11), frames, strict=True):
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / "frames" / f"img_{number}.png"), picture)
    with Mp4Writer(folder / "video.mp4", height=SIZE[0], width=SIZE[1]) as writer:
        for frame, time in zip(frames, (0.0, 0.1, 0.3, 0.35, 0.5), strict=True):
            writer.add(frame, time)
    return folder, frames


def test_two_pictures_in_every_format(sources, tmp_path):
    folder, frames = sources
    first, second = folder / "frames" / "img_1.png", folder / "frames" / "img_2.png"
    kinds = ("png", "flo", "kitti", "npz")
    found = pair_flow(first, second, DISMethod(), tmp_path / "a.b", kinds=kinds)
    expected = DISTeacher("medium")(np.stack(frames[:2]))[0]
    np.testing.assert_array_equal(read_flo(tmp_path / "a.b.flo")[0], expected)
    kitti, known = read_flow(tmp_path / "a.b_kitti.png")
    np.testing.assert_allclose(kitti, expected, atol=1 / 128)
    assert known.all()
    with np.load(tmp_path / "a.b.npz") as file:
        np.testing.assert_allclose(file["flow"][0], expected, rtol=1e-3, atol=1e-4)
    assert cv2.imread(str(tmp_path / "a.b.png")).shape == (*SIZE, 3)
    assert sorted(found.files) == sorted(tmp_path.iterdir())
    speed = np.linalg.norm(expected, axis=-1)
    assert found.mean_speed == pytest.approx(speed.mean(), rel=1e-5)
    assert found.largest_speed == pytest.approx(speed.max(), rel=1e-5)
    assert (found.flows, found.size, found.notes) == (1, SIZE, ())


@pytest.mark.parametrize("kind", ["video.mp4", "frames"])
def test_video_and_folder(sources, tmp_path, kind):
    folder, frames = sources
    is_video = kind == "video.mp4"
    found = video_flow(
        folder / kind, DISMethod(), tmp_path / "out", kinds=("mp4", "flo", "npz"), stride=2, fps=10
    )
    assert found.flows == 2
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))]
    flows = [f"out_flo/{name}" for name in (".afn_jax.json", "000000.flo", "000002.flo")]
    assert names == ["out.mp4", "out.npz", *flows]
    if not is_video:  # the frames are exact, and in the order of their numbers
        expected = DISTeacher("medium")(np.stack(frames[::2]))
        for number, flow in ((0, expected[0]), (2, expected[1])):
            read = read_flo(tmp_path / "out_flo" / f"00000{number}.flo")[0]
            np.testing.assert_array_equal(read, flow)
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_allclose(np.median(file["flow"], (0, 1, 2)), [4, 0], atol=0.3)
        times = file["times"]
    np.testing.assert_allclose(times, [0.0, 0.3] if is_video else [0.0, 0.2], atol=1e-4)
    shown, pictures = decoded(tmp_path / "out.mp4")
    np.testing.assert_allclose(shown, times, atol=1e-4)
    # Enlarged 6 times, with the flow beside it: red, as it moves right.
    assert pictures.shape[2] == 2 * 360 + 4
    red, green, blue = np.median(pictures[0, 60:200, 400:660], (0, 1))
    assert red > 200 and max(green, blue) < 120
    assert any("frame rate" in note for note in found.notes) is False


def test_what_kitti_cannot_hold_is_told(sources, tmp_path):
    folder, _ = sources
    pictures = folder / "frames" / "img_1.png", folder / "frames" / "img_2.png"
    found = pair_flow(*pictures, Constant(600, 0), tmp_path / "a", kinds=("kitti",))
    assert found.notes[0] == "a note" and "2400 pixels move by 512 px or more" in found.notes[1]
    found = video_flow(folder / "video.mp4", Constant(0, 600), tmp_path / "a", kinds=("kitti",))
    assert "9600 pixels move by 512 px or more" in found.notes[-1]
    assert found.mean_speed == found.largest_speed == 600


def test_max_magnitude_is_full_saturation(sources, tmp_path):
    folder, _ = sources
    pictures = folder / "frames" / "img_1.png", folder / "frames" / "img_2.png"
    levels = []
    for most in (None, 20.0):
        out = tmp_path / f"a{most}"
        pair_flow(*pictures, Constant(2, 0), out, kinds=("png",), max_magnitude=most)
        levels.append(cv2.imread(f"{out}.png")[0, 0].tolist())
    assert levels[0] == [0, 0, 255] and levels[1][2] == 255 and 220 < levels[1][0] < 235
    video_flow(folder / "video.mp4", Constant(2, 0), tmp_path / "a", max_magnitude=20.0)
    assert close(decoded(tmp_path / "a.mp4")[1][0, 200, 400], levels[1][::-1])


def test_errors(sources, tmp_path):
    folder, _ = sources
    first, video = folder / "frames" / "img_1.png", folder / "video.mp4"
    cv2.imwrite(str(tmp_path / "small.png"), gray(5, 6))
    (tmp_path / "text.png").write_text("no picture")
    out = tmp_path / "out"
    out.mkdir()
    for arguments, message in [
        ((first, tmp_path / "small.png"), "pictures are 40 x 60 and 5 x 6; they must have the"),
        ((first, tmp_path / "text.png"), "text.png: not an image"),
        ((first, video), "video.mp4 is a video; give one video alone, or two pictures"),
        ((first, tmp_path / "none.png"), "No such file or directory: .*none.png"),
    ]:
        with pytest.raises((ValueError, OSError), match=message):
            pair_flow(*arguments, DISMethod(), out / "a")
    with pytest.raises(ValueError, match="formats: got mp4; two pictures give png, flo, kitti"):
        pair_flow(first, first, DISMethod(), out / "a", kinds=("mp4",))
    with pytest.raises(ValueError, match="formats: got tiff; allowed: npz"):
        video_flow(video, DISMethod(), out / "a", kinds=("tiff",))
    with pytest.raises(ValueError, match="replace the input .*img_1.png"):
        pair_flow(first, first, DISMethod(), first.with_suffix(""))
    with pytest.raises(VideoReadError, match="video.mp4: 1 frame with stride 9, but flow needs"):
        video_flow(video, DISMethod(), out / "a", stride=9, kinds=("mp4", "npz", "flo"))
    with pytest.raises(ValueError, match="stride: got 0"):
        video_flow(video, DISMethod(), out / "a", stride=0)
    with pytest.raises(VideoReadError, match="text.png"):
        video_flow(tmp_path / "text.png", DISMethod(), out / "a")
    assert list(out.iterdir()) == []
