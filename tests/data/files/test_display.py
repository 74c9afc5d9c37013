"""Pictures are read as players show them: turned, mirrored, with square pixels."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from afn_jax.data.check.inspection import inspect_file
from afn_jax.data.files.display import orientation_of
from afn_jax.data.files.video import decode_all, index_video, read_frames
from tests.data.videos import encode, moving_picture, sequential

# The eight display matrices a, b, c, d and what they do.
MATRICES = {
    (1, 0, 0, 1): "",
    (0, 1, -1, 0): "turned clockwise",
    (-1, 0, 0, -1): "turned by 180 degrees",
    (0, -1, 1, 0): "turned counterclockwise",
    (-1, 0, 0, 1): "mirrored left to right",
    (1, 0, 0, -1): "mirrored top to bottom",
    (0, 1, 1, 0): "turned clockwise and mirrored left to right",
    (0, -1, -1, 0): "turned counterclockwise and mirrored left to right",
}


def with_matrix(path, matrix):
    """Overwrites the display matrix in the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = matrix
    values = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], float) * (1 << 16)
    data[place : place + 36] = np.round(values).astype(">i4").tobytes()
    path.write_bytes(data)
    return path


def shown_by(matrix, frames):
    """Moves each pixel: x' = a x + c y, y' = b x + d y, with y pointing down."""
    a, b, c, d = matrix
    y, x = np.indices(frames.shape[1:3])
    columns, rows = a * x + c * y, b * x + d * y
    columns, rows = columns - columns.min(), rows - rows.min()
    shown = np.zeros((len(frames), rows.max() + 1, columns.max() + 1, 3), np.uint8)
    shown[:, rows, columns] = frames
    return shown


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_orientations(tmp_path, matrix):
    """On a picture with odd sides."""
    path = encode(tmp_path / "phone.mp4", "libx264", moving_picture(3, 35, 51), pixels="yuv444p")
    expected = shown_by(matrix, sequential(path))
    with_matrix(path, matrix)
    index = index_video(path)
    assert (index.height, index.width) == expected.shape[1:3]
    np.testing.assert_array_equal(read_frames(path, index, [2, 0, 1]), expected[[2, 0, 1]])
    small = read_frames(path, index, [1], short_side=20)[0]
    assert min(small.shape[:2]) == 20
    size = small.shape[1::-1]
    resized = cv2.resize(expected[1], size, interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(small, resized)
    what = MATRICES[matrix]
    assert decode_all(path).notes == ((f"shown {what}, as its header says",) if what else ())


@pytest.mark.parametrize("degrees", [3, 88, -91])
def test_nearly_straight_pictures_are_turned_to_the_closest_right_angle(tmp_path, degrees):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(2))
    lying = sequential(path)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    with_matrix(path, (cos, sin, -sin, cos))
    frames = read_frames(path, index_video(path), [0, 1])
    np.testing.assert_array_equal(frames, np.rot90(lying, -round(degrees / 90), axes=(1, 2)))


def test_an_empty_matrix_changes_nothing(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(2))
    expected = sequential(path)
    with_matrix(path, (0, 0, 0, 0))
    np.testing.assert_array_equal(read_frames(path, index_video(path), [0, 1]), expected)


class UnknownSideData:
    """A frame whose side data PyAV cannot list; `rotation` is counterclockwise."""

    def __init__(self, rotation):
        self.rotation = rotation

    @property
    def side_data(self):
        raise ValueError("32 is not a valid Type")


@pytest.mark.parametrize("rotation", [0, 90, 180, -180, -90])
def test_side_data_of_an_unknown_kind_still_gives_the_angle(rotation):
    image = np.arange(24).reshape(2, 4, 3)
    shown = orientation_of(UnknownSideData(rotation))(image)
    np.testing.assert_array_equal(shown, np.rot90(image, round(rotation / 90)))


@pytest.mark.parametrize(
    ("name", "codec", "aspect", "width"),
    [
        ("wide.mp4", "libx264", Fraction(64, 45), 91),
        ("wide.mkv", "libx264", Fraction(64, 45), 91),
        ("wide.avi", "mpeg4", Fraction(16, 11), 93),
        ("narrow.mov", "libx264", Fraction(8, 9), 57),
        ("twice.mp4", "libvpx-vp9", Fraction(2, 1), 128),
        ("square.mp4", "libx264", Fraction(1, 1), 64),
        ("unknown.mp4", "libx264", None, 64),
        ("rounded.mp4", "libx264", Fraction(201, 200), 64),
        ("absurd.mp4", "libx264", Fraction(9, 2), 64),
        ("absurd_too.mp4", "libx264", Fraction(1, 5), 64),
    ],
)
def test_pixels_become_square(tmp_path, name, codec, aspect, width):
    path = encode(tmp_path / name, codec, moving_picture(4), aspect=aspect)
    coded = sequential(path)
    index = index_video(path)
    assert (index.height, index.width) == (48, width)
    frames = read_frames(path, index, [0, 3])
    np.testing.assert_array_equal(frames, sequential(path, width)[[0, 3]])
    stretched = cv2.resize(coded[3], (width, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(frames[1].astype(int) - stretched).mean() < 4
    assert read_frames(path, index, [2], short_side=24).shape == (1, 24, round(width / 2), 3)
    notes = (f"its pixels are not square: 64 x 48 is shown as {width} x 48",)
    assert decode_all(path).notes == (notes if width != 64 else ())


def test_pixels_become_square_before_the_picture_is_turned(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(3), aspect=Fraction(3, 2))
    expected = np.rot90(sequential(path, 96), -1, axes=(1, 2))
    with_matrix(path, (0, 1, -1, 0))
    index = index_video(path)
    assert (index.height, index.width) == (96, 48)
    np.testing.assert_array_equal(read_frames(path, index, [0, 1, 2]), expected)
    oddity = inspect_file(path).oddity
    assert oddity == (
        "shown turned clockwise, as its header says, "
        "its pixels are not square: 64 x 48 is shown as 96 x 48"
    )


def test_the_matrix_can_be_in_matroska(tmp_path):
    """As PyAV writes it, from version 17 on."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this version of PyAV does not write display matrices")
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)  # counterclockwise
        for image in moving_picture(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    expected = np.rot90(sequential(path), 1, axes=(1, 2))
    np.testing.assert_array_equal(read_frames(path, index_video(path), [0, 1, 2]), expected)
