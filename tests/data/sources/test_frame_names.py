"""Which pictures of a folder are frames, and their order."""

import random

import numpy as np
import pytest

from afn_jax.data.sources.frame_names import (
    EXTENSIONS,
    NUMBERED_PICTURE,
    PER_SECOND,
    AmbiguousNames,
    sort_pictures,
)

# In order. The names are shuffled for the test.
ORDERS = {
    "padded": ["img_00009.jpg", "img_00010.jpg", "img_00011.jpg"],
    "natural order without padding": ["1.png", "2.png", "10.png", "100.png"],
    "mixed padding": ["f8.png", "f09.png", "f10.png", "f00011.png"],
    "upper and lower case": ["img_1.jpg", "IMG_2.JPG", "Img_3.Jpg", "img_4.jpeg"],
    "several formats": ["1.jpg", "2.png", "3.bmp", "4.webp", "5.ppm", "6.tiff", "7.pgm", "8.jp2"],
    "times": ["0.90.jpg", "1.00.jpg", "1.10.jpg", "12.30.jpg"],
    "times of short decimals": ["0.5.png", "0.75.png", "1.0.png", "1.25.png", "10.0.png"],
    "times with whole numbers": ["0.jpg", "0.5.jpg", "1.jpg", "1.5.jpg", "10.jpg"],
    "times with a comma": ["t0,90.jpg", "t1,00.jpg", "t10,00.jpg"],
    "negative": ["-10.png", "-9.png", "-1.png", "0.png", "1.png", "10.png"],
    "negative after a prefix": ["frame_-2.png", "frame_-1.png", "frame_0.png", "frame_1.png"],
    "hyphens": ["img-0001.jpg", "img-0002.jpg", "img-0010.jpg"],
    "the number that varies": [f"vid3_frame_{i:04d}_cam2.jpg" for i in (1, 2, 30)],
    "number at the start": ["0001_rgb.png", "0002_rgb.png", "0010_rgb.png"],
    "number and time": ["f_1_t0.00.jpg", "f_2_t0.04.jpg", "f_10_t0.36.jpg"],
    "number and a random one": ["1_93.jpg", "2_17.jpg", "3_55.jpg", "4_11.jpg"],
    "counts after a point": ["v.1.9.jpg", "v.1.10.jpg", "v.1.11.jpg"],
    "versions in the name": ["v1.2.0001.jpg", "v1.2.0002.jpg", "v1.2.0010.jpg"],
    "nanoseconds": ["1403636579763555584.png", "1403636579813555456.png"],
    "seconds since 1970": ["1403636579.763555.png", "1403636579.813555.png", "1403636580.1.png"],
    "blanks and other alphabets": ["Bild Nr 9 ä.jpg", "Bild Nr 10 ä.jpg"],
    "number and constant steps": ["1_10.jpg", "2_20.jpg", "3_30.jpg"],
    "number and group": ["a1_7.jpg", "a1_8.jpg", "a2_9.jpg", "a2_10.jpg"],
    "minutes": [f"00_{t // 60:02d}_{t % 60:02d}.jpg" for t in range(50, 70)],
    # By seconds alone, they would have equal steps.
    "one minute": [f"00-{t // 60:02d}-{t % 60:02d}.jpg" for t in range(30, 90)],
    "two minutes": [f"v 00.{t // 60:02d}.{t % 60:02d}.jpg" for t in range(120)],
    "midnight": [f"2024-05-03_23-59-{t}.png" for t in range(30, 60)]
    + [f"2024-05-04_00-00-{t:02d}.png" for t in range(30)],
    "clock with frames": [
        f"t{t // 1500:02d}_{t // 25 % 60:02d}_{t % 25:02d}.png" for t in range(1490, 1530)
    ],
    "clock with milliseconds": [
        f"{t // 60000:02d}_{t // 1000 % 60:02d}_{t % 1000:03d}.png" for t in range(58900, 61000, 40)
    ],
    "minutes of an hour": [f"2024-05-03_{t}.png" for t in ("10-58", "10-59", "11-00")],
    "clock without zeros": [f"0-{t // 60}-{t % 60}.jpg" for t in range(50, 70)],
    "one minute without zeros": [f"0-{t // 60}-{t % 60}.jpg" for t in range(30, 90)],
    "half minutes": ["00_00.jpg", "00_30.jpg", "01_00.jpg", "01_30.jpg", "02_00.jpg"],
    "one": ["7.jpg"],
}


@pytest.mark.parametrize("case", ORDERS)
def test_orders_frames_by_the_number_that_varies(case):
    expected = ORDERS[case]
    others = ["Thumbs.db", ".DS_Store", "._img_00001.jpg", "notes.txt", "cover.jpg", "1.gif"]
    for seed in range(3):
        shuffled = random.Random(seed).sample(expected + others, len(expected + others))
        found = sort_pictures(shuffled)
        assert list(found.frames.names) == expected
        assert (np.diff(found.frames.numbers) > 0).all()
        assert found.flow is None and found.rest == ()


def test_times_are_in_nanoseconds_whatever_their_decimals():
    found = sort_pictures(["0.5.png", "0.75.png", "2.png", "1.png"]).frames
    assert found.times
    np.testing.assert_array_equal(found.numbers, np.array([0.5, 0.75, 1, 2]) * PER_SECOND)
    assert not sort_pictures(["1.png", "2.png"]).frames.times


@pytest.mark.parametrize(
    "names", [("flow_x_{}", "flow_y_{}"), ("x{}", "y{}"), ("FLOW_X{}", "flow_y{}")]
)
def test_flow_beside_frames_is_not_taken_for_frames(names):
    pictures = [f"{name.format(i)}.jpg" for name in (*names, "img_{:05d}") for i in range(1, 6)]
    found = sort_pictures(pictures)
    assert found.frames.names == tuple(f"img_{i:05d}.jpg" for i in range(1, 6))
    x, y = found.flow
    assert x.names == tuple(f"{names[0].format(i)}.jpg" for i in range(1, 6))
    assert y.names == tuple(f"{names[1].format(i)}.jpg" for i in range(1, 6))


def test_a_single_picture_of_another_name_is_no_candidate():
    names = ["img_1.jpg", "img_2.jpg", "poster7.jpg", "x_1.jpg"]
    found = sort_pictures(names)
    assert found.frames.names == ("img_1.jpg", "img_2.jpg") and found.flow is None
    assert found.rest == ("poster7.jpg", "x_1.jpg")
    many = [*numbered("img_{}.jpg", count=100), "img_3 (1).jpg", "img_7 copy.jpg", "poster1.jpg"]
    assert len(sort_pictures(many).frames.names) == 100 and len(sort_pictures(many).rest) == 3
    with pytest.raises(AmbiguousNames, match="100 pictures are like img_#, but the names of 4 "):
        sort_pictures([*many, "cover2.jpg"])


def numbered(*forms, count=4):
    return [form.format(i) for form in forms for i in range(1, count + 1)]


AMBIGUOUS = {
    "depth": (
        numbered("img_{:05d}.jpg", "depth_{:05d}.png"),
        r"2 groups of pictures .*: depth_# \(4 pictures\), img_# \(4 pictures\); .*'depth_\*'",
    ),
    "more frames than depth": (
        [*numbered("img_{}.jpg", "depth_{}.png"), "img_9.jpg"],
        r"img_# \(5 pictures\), depth_# \(4 pictures\); .*--data.frame-names 'img_\*'",
    ),
    "flow of one component": (numbered("img_{}.jpg", "flow_{}.jpg"), r"flow_# \(4 .*, img_# \(4"),
    "suffixes": (
        numbered("{}_rgb.png", "{}_depth.png"),
        r"#_depth \(4 .*, #_rgb \(4 .*--data.frame-names '\[0-9\]\*_depth\.\*'",
    ),
    "two cameras": (
        numbered("vid3_frame_{}_cam1.jpg", "vid3_frame_{}_cam2.jpg"),
        r"vid3_frame_#_cam1 \(4 .*, vid3_frame_#_cam2 \(4 .*'vid3_frame_\*_cam1\.\*'",
    ),
    "two extensions": (
        numbered("img_{}.jpg", "img_{}.png"),
        r"same number, img_1.jpg and img_1.png, and 3 more pairs; .* choose .* '\*.jpg'",
    ),
    "copies with other padding": (
        [*numbered("img_{}.jpg"), "img_002.jpg"],
        "same number, img_002.jpg and img_2.jpg; remove one of them, or choose",
    ),
    "copies in upper case": ([*numbered("img_{}.jpg"), "IMG_2.jpg"], "IMG_2.jpg and img_2.jpg;"),
    "two copies": (
        [*numbered("img_{}.jpg"), "img_02.jpg", "img_03.jpg"],
        "img_02.jpg and img_2.jpg, and 1 more pair; remove one of each",
    ),
    "one time twice": (
        ["0.5.png", "0.50.png", "1.25.png", "0.75.png"],
        "may be times or pairs of counts",
    ),
    "pairs of counts": (["1.9.png", "1.10.png", "2.1.png"], "may be times or pairs of counts"),
    "cameras, each with a full count": (
        [f"cam0{c}_{i:02d}.png" for c in (1, 2) for i in range(60)],
        r"cam01_# \(60 .*, cam02_# \(60 .*more than one number varies. .* 'cam01_\*'",
    ),
    "parts of several lengths": (
        [f"p{c}_{i:02d}.png" for c, count in ((1, 60), (2, 20)) for i in range(count)],
        r"p1_# \(60 .*, p2_# \(20 .*'p1_\*'",
    ),
    "a clock that jumps": (
        [f"00_{t // 60:02d}_{t % 60:02d}.png" for t in (*range(55, 59), *range(63, 66))],
        "If they are one video, rename the pictures so that one number orders them",
    ),
    "a month of days": (  # by days alone, they would have equal steps
        [f"05-{day}.png" for day in range(16, 32)] + [f"06-{day:02d}.png" for day in range(1, 16)],
        r"05-# \(16 .*, 06-# \(15 .*more than one number varies",
    ),
    "cameras without zeros": (
        [f"cam{c}_{i}.png" for c in (1, 2) for i in range(60)],
        r"cam1_# \(60 .*, cam2_# \(60 .*'cam1_\*'",
    ),
    "copies of two": (
        [*numbered("img_{:02d}.jpg"), "img_01 copy.jpg", "img_02 copy.jpg"],
        r"img_# \(4 .*img_# copy \(2 .* 'img_\[0-9\]\[0-9\].\*'",
    ),
    "thumbnails": (
        numbered("img_{}.jpg", "img_{}_thumb.jpg", count=12),
        r"img_# \(12 .*, img_#_thumb \(12 .*choose one by its names, such as .*'img_\*\[0-9\].\*'",
    ),
    "hexadecimal numbers": (
        [f"{i:02x}.jpg" for i in range(16)],
        r"10 pictures are like #, but the names of 6 have other forms: 0a.jpg, .* 2 more. .*"
        r"--data.frame-names '\[0-9\]\[0-9\].\*'",
    ),
    "random names": (
        [f"{text}.png" for text in ("3f0a", "a7", "0bc9d", "77ee2", "f1")],
        r"1 picture is like .*, but the names of 4 have other forms: .*, move them elsewhere",
    ),
    "copies by a browser": (
        [*numbered("{:04d}.jpg"), *numbered("{:04d}.1.jpg")],
        r"#.1 \(4 pictures\), # \(4 pictures\)|# \(4 .*, #.1 \(4|2 groups",
    ),
    "too many groups to list": (
        [n for letter in "abcdef" for n in numbered(f"{letter}_{{}}.jpg")],
        "6 groups of pictures .* d_# .*, 2 more; choose",
    ),
    "digits": ([f"{10**20 + i}.png" for i in range(2)], r"numbers larger than 2\^62"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_refuses_to_guess(case):
    names, message = AMBIGUOUS[case]
    with pytest.raises(ValueError, match=message) as error:
        sort_pictures(names)
    assert isinstance(error.value, AmbiguousNames) == (case != "digits")


@pytest.mark.parametrize(
    "case, pattern, expected",
    [
        ("depth", "img_", numbered("img_{:05d}.jpg")),
        ("depth", "IMG_*", numbered("img_{:05d}.jpg")),
        ("more frames than depth", "depth_*", numbered("depth_{}.png")),
        ("suffixes", "[0-9]*_rgb.*", numbered("{}_rgb.png")),
        ("suffixes", "*_rgb.png", numbered("{}_rgb.png")),
        ("two cameras", "*_cam2*", numbered("vid3_frame_{}_cam2.jpg")),
        ("two extensions", "*.png", numbered("img_{}.png")),
        ("copies by a browser", "????.jpg", numbered("{:04d}.jpg")),
    ],
)
def test_a_pattern_decides(case, pattern, expected):
    found = sort_pictures(AMBIGUOUS[case][0], pattern)
    assert list(found.frames.names) == expected
    assert {*found.rest, *expected} == {*AMBIGUOUS[case][0]}


def test_without_numbers_there_are_no_frames():
    assert sort_pictures(["cover.jpg", "a.txt"]).frames is None
    assert sort_pictures(numbered("x_{}.jpg")).frames is None
    assert sort_pictures(numbered("img_{}.jpg"), "depth").frames is None


def test_numbered_pictures():
    for extension in EXTENSIONS:
        assert NUMBERED_PICTURE.fullmatch(f"a1{extension}")
        assert NUMBERED_PICTURE.fullmatch(f"A1_RGB{extension.upper()}")
        assert not NUMBERED_PICTURE.fullmatch(f"cover{extension}")
        assert not NUMBERED_PICTURE.fullmatch(f"._1{extension}")
    assert not NUMBERED_PICTURE.fullmatch("1.gif")
    assert not NUMBERED_PICTURE.fullmatch("1.mp4")
