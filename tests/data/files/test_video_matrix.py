"""Codecs and containers: frames equal a full decode, segments in seconds what a player shows.

The pictures hold their numbers, so that the times to compare with are those that were written.
"""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.sources.video_files import segment_frames
from tests.data.videos import numbered_pictures, numbers_in

NUM_FRAMES = 30
RATE = 25
H264 = {"g": "10", "bf": "2", "x264-params": "scenecut=0"}
HIDDEN = {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8", "b": "60k"}
B_FRAMES = {"g": "10", "bf": "2", "sc_threshold": "1000000000"}
GROUPS = {"g": "10", "sc_threshold": "1000000000"}

# Name: (encoder, its options, whether frames of the whole file are reached by a seek).
PAIRS = {
    "h264.mp4": ("libx264", H264, True),
    "h264.mov": ("libx264", H264, True),
    "h264.mkv": ("libx264", H264, True),
    "h264.ts": ("libx264", H264, True),
    "h264.mts": ("libx264", H264, True),
    "h264.flv": ("libx264", H264, True),
    "h264.avi": ("libx264", H264, False),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=10:scenecut=0:log-level=0"}, True),
    "hevc.ts": ("libx265", {"x265-params": "keyint=10:scenecut=0:log-level=0"}, True),
    "vp8.webm": ("libvpx", HIDDEN, True),
    "vp9.webm": ("libvpx-vp9", HIDDEN, True),
    "vp9.mp4": ("libvpx-vp9", HIDDEN, True),
    "av1.mp4": ("libsvtav1", {"g": "10", "preset": "10"}, True),
    "av1.webm": ("libsvtav1", {"g": "10", "preset": "10"}, True),
    "av1.mkv": ("libsvtav1", {"g": "10", "preset": "10"}, True),
    "mpeg4.avi": ("mpeg4", GROUPS, True),
    "mpeg4_reordered.avi": ("mpeg4", B_FRAMES, False),
    "mpeg4.mp4": ("mpeg4", B_FRAMES, True),
    "mpeg2.ts": ("mpeg2video", B_FRAMES, True),
    "mpeg2.mpg": ("mpeg2video", B_FRAMES, False),
    "mjpeg.avi": ("mjpeg", {}, True),
    "mjpeg.mov": ("mjpeg", {}, True),
    "prores.mov": ("prores_ks", {}, True),
    "wmv2.wmv": ("wmv2", GROUPS, True),
    "wmv2.asf": ("wmv2", GROUPS, True),
    "flv1.flv": ("flv", GROUPS, True),
    "theora.ogv": ("libtheora", {}, True),
}
# Files that count frames, so that what is written with variable times is not what was asked for.
COUNTS_FRAMES = ("mpeg2.mpg", "theora.ogv")


def written_pts(rate: str) -> np.ndarray:
    """`[N]`: when each picture is shown, in frames of 1/25 s."""
    steps = np.ones(NUM_FRAMES, int)
    if rate == "variable":
        steps = np.random.default_rng(1).integers(1, 6, NUM_FRAMES)
    return np.cumsum(steps) - steps[0]


def pictures_to_write() -> np.ndarray:
    """The numbered pictures with noise below, so that their packets have realistic sizes."""
    pictures = numbered_pictures(NUM_FRAMES, height=96)
    noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 24, 32, 1), np.uint8)
    pictures[:, 48:] = noise.repeat(2, 1).repeat(2, 2)
    return pictures


def write(path: Path, encoder: str, options: dict, pts: np.ndarray) -> None:
    """Writes the pictures; the tables of an MP4 file come first, because its end may be cut off."""
    mux = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", format=container_of(path), options=mux) as container:
        stream = container.add_stream(encoder, rate=RATE, options=options)
        stream.width, stream.height = 64, 96
        formats = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}
        stream.pix_fmt = formats.get(encoder, "yuv420p")
        stream.codec_context.thread_count = 1
        for image, when in zip(pictures_to_write(), pts.tolist(), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = when, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def container_of(path: Path) -> str | None:
    return "mpegts" if path.suffix in (".ts", ".mts") else None


def without_start(whole: Path, path: Path) -> None:
    """Copies all but the first seven packets: the first ones left lack their key frame."""
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", format=container_of(path)) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size][7:]
        first = packets[0].dts if path.suffix == ".avi" else 0  # or it starts with empty packets
        for packet in packets:
            packet.stream = stream
            packet.pts, packet.dts = packet.pts - first, packet.dts - first
            target.mux(packet)


def without_end(whole: Path, path: Path) -> None:
    """Copies the first 70 % of the bytes; of Ogg, the first 90 %, because most are tables."""
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * (9 if path.suffix == ".ogv" else 7) // 10])


def decode_plainly(path: Path) -> tuple[np.ndarray, list, np.ndarray, float]:
    """Decodes all frames: (pictures, frames, when they are shown, start of the file) in seconds.

    In AVI, a frame is shown with the packet that completes it. A frame whose time is missing or
    repeated is shown one period after the one before, or halfway to the next.
    """
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # more of them conceal damage differently
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.error.FFmpegError:  # damaged
                continue
        start = (container.start_time or 0) / 1e6
        stamps = [frame.dts if path.suffix == ".avi" else frame.pts for frame in frames]
        times = np.array([np.nan if s is None else s * float(stream.time_base) for s in stamps])
        for k in range(1, len(times)):
            if not times[k] > times[k - 1]:
                times[k] = times[k - 1] + float(1 / stream.average_rate)
                if k + 1 < len(times) and times[k + 1] - times[k - 1] < 2 * (
                    times[k] - times[k - 1]
                ):
                    times[k] = (times[k - 1] + times[k + 1]) / 2
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pictures, frames, times, start


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    """Returns a function that writes each (pair, rate) once."""
    folder, known = tmp_path_factory.mktemp("matrix"), {}

    def get(name: str, rate: str) -> Path:
        if (name, rate) not in known:
            encoder, options, _ = PAIRS[name]
            path = folder / f"{rate}_{name}"
            if encoder == "libtheora":  # from FFmpeg's encoder, which PyAV lacks; 24 pictures
                shutil.copy(Path(__file__).parent / "theora" / f"{rate}.ogv", path)
            else:
                try:
                    av.codec.Codec(encoder, "w")
                except av.codec.codec.UnknownCodecError:
                    pytest.skip(f"this build of PyAV cannot write {encoder}")
                write(path, encoder, options, written_pts(rate))
            known[name, rate] = path
        return known[name, rate]

    return get


@pytest.mark.parametrize("cut", ["whole", "start", "end"])
@pytest.mark.parametrize("rate", ["constant", "variable"])
@pytest.mark.parametrize("name", PAIRS)
def test_frames_and_segments_are_those_that_a_player_shows(whole_file, tmp_path, name, rate, cut):
    path = whole_file(name, rate)
    if cut != "whole":
        (without_start if cut == "start" else without_end)(path, tmp_path / name)
        path = tmp_path / name
    pictures, frames, times, file_start = decode_plainly(path)
    index = index_video(path)
    assert index.num_frames == len(pictures) > 5

    rng = np.random.default_rng(0)
    last = len(pictures) - 1
    if "mjpeg" in name and cut == "end":
        last -= 1  # the missing part of the last picture is whatever the memory held
    order = rng.permutation(last + 1)
    np.testing.assert_array_equal(read_frames(path, index, order), pictures[order])
    for one in [0, last, *rng.integers(0, last, 3)]:
        np.testing.assert_array_equal(read_frames(path, index, [one]), pictures[[one]])
    assert index.timed
    if cut == "whole":
        assert index.seekable == PAIRS[name][2]

    is_avi = name.endswith(".avi")
    # A player's clock starts with the file, even if its first frames cannot be decoded. AVI has no
    # presentation times, which leaves the first frame.
    times -= times[0] if is_avi else min(file_start, times[0])
    if cut != "start":
        assert times[0] == pytest.approx(0)
    # Damaged pictures have no number: before the first key frame, or at the end of a cut file. If
    # AVI has reordered frames, nothing tells when the last ones are shown.
    numbers = np.array(numbers_in(pictures[:, : pictures.shape[1] // 2]))
    keys = [bool(frame.key_frame) for frame in frames]
    without_last = cut == "end" or (is_avi and not PAIRS[name][2])
    clean = slice(keys.index(True), -3 if without_last else None)
    if cut == "whole":
        assert numbers.tolist() == list(range(24 if name == "theora.ogv" else NUM_FRAMES))
    if name not in COUNTS_FRAMES:
        written = written_pts(rate)[numbers[clean]] / RATE
        np.testing.assert_allclose(np.diff(times[clean]), np.diff(written), atol=1e-4)
    np.testing.assert_allclose(index.times, times, atol=1e-4)
    for _ in range(20):  # borders between the times of frames
        start, end = np.sort((rng.integers(-1, 150, 2) + 0.5) / RATE)
        first, count = segment_frames(index, start, end)
        shown = np.flatnonzero((times >= start) & (times < end))
        np.testing.assert_array_equal(np.arange(first, first + count), shown)
