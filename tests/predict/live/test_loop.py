"""Live sources: the numbers of files, dropped windows, and how a source may end."""

import errno
import io
import json
import os
import threading
import types

import cv2
import numpy as np
import pytest

from afn_jax.predict.engine import predict_video
from afn_jax.predict.frames.stream import Frame, open_frames
from afn_jax.predict.live import source as sources
from afn_jax.predict.live.loop import LiveOptions, predict_live, run_live
from afn_jax.predict.live.screen import open_screen, why_no_screen
from afn_jax.predict.live.source import CameraFrames, LiveSource, Paced, live_source, open_live
from afn_jax.predict.settings import Settings
from tests.data.videos import encode, moving_picture
from tests.predict.stand_ins import brightness_network, inexact_network, lights

PIPE = LiveSource("-", "pipe", drop=False)


small_network = pytest.fixture(scope="module")(inexact_network)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "a.mkv"
    return encode(path, "libx264", moving_picture(41), options={"bf": "2", "g": "10"})


def collect():
    lines, told = [], []
    return lines, told, LiveOptions(emit=lines.append, tell=told.append)


def of(lines, event):
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_live_and_offline_give_exactly_the_same_numbers(
    video, tmp_path, monkeypatch, small_network, batch_size
):
    settings = Settings(film=False, threshold=0.34, top=3, batch_size=batch_size)
    offline = []
    result = predict_video(
        str(video),
        "a",
        tmp_path,
        small_network,
        settings,
        on_window=lambda path, result, frames: offline.append(result),
    )
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(video.read_bytes())))
    lines, told, options = collect()
    assert predict_live(small_network, PIPE, settings, options) == 0
    windows = of(lines, "window")
    assert len(windows) == len(offline) == 20
    names = small_network.card.class_names
    for line, expected in zip(windows, offline, strict=True):
        found = {item["class"]: item["probability"] for item in line["top"]}
        assert [found[name] for name in names] == expected.probabilities.tolist()
        assert line["start"] == round(expected.window.start, 6)
        assert (line["dropped_windows"], line["dropped_frames"]) == (0, 0)
    segments = [
        (names[s.label], round(s.start, 6), round(s.end, 6), s.score) for s in result.segments
    ]
    found = [(s["class"], s["start"], s["end"], s["score"]) for s in of(lines, "segment")]
    assert sorted(found) == sorted(segments) and found
    (summary,) = of(lines, "summary")
    assert (summary["frames"], summary["windows"], summary["ended"]) == (41, 20, "the source ended")
    assert "41 frames; 20 windows, 0 dropped" in told[-1]


class Given:
    """Frames of a list; `before(k)` is called before frame k."""

    def __init__(self, pictures, before=lambda k: None, fps=25.0):
        self._pictures, self._before = pictures, before
        self.fps, self.end, self.notes = fps, len(pictures) / fps, []
        self.shown = types.SimpleNamespace(size=pictures.shape[1:3])

    def __iter__(self):
        for k, picture in enumerate(self._pictures):
            self._before(k)
            yield Frame(k, k / self.fps, picture)


def test_a_slow_network_drops_whole_windows_and_counts_them():
    """The source ends while the network computes the first window: 2 of the others wait."""
    all_read, begun = threading.Event(), threading.Event()
    network = brightness_network()
    function, seen = network.function, []

    def slow(frames):
        if frames.any():  # not the call that compiles
            seen.append(frames[0, :, 0, 0, 0].tolist())
            begun.set()
            assert all_read.wait(60)
        return function(frames)

    network.function = slow

    def before(k):
        if k == 4:  # window 0 is complete
            assert begun.wait(60)

    class Frames(Given):
        def __iter__(self):
            yield from super().__iter__()
            all_read.set()

    frames = Frames(lights(*range(10, 31), height=16, width=24), before)
    lines, told, options = collect()
    source = LiveSource("x", "file")
    assert run_live(network, source, frames, Settings(film=False), options) == 0
    # Windows start at 0, 2, ..., 16, and 17 at the end. The two newest before the end were 14
    # and 16 when `all_read` was set, and the last one may replace 14.
    assert seen[0] == [10, 11, 12, 13]
    for frames_seen in seen:
        assert np.diff(frames_seen).tolist() == [1, 1, 1]
    windows, (summary,) = of(lines, "window"), of(lines, "summary")
    assert summary["dropped_windows"] + len(windows) == 10
    assert summary["dropped_windows"] in (6, 7)
    second = windows[1]["window"]
    assert windows[1]["dropped_frames"] == 2 * second - 4
    assert windows[-1]["dropped_windows"] == summary["dropped_windows"]
    assert told[0] == "the network is slower than the source: windows are dropped"


def test_a_pipe_waits_instead_of_dropping():
    network = brightness_network()
    lines, _, options = collect()
    frames = Given(lights(*range(10, 70), height=16, width=24))
    assert run_live(network, PIPE, frames, Settings(film=False), options) == 0
    assert len(of(lines, "window")) == 29
    assert of(lines, "summary")[0]["dropped_windows"] == 0


class FakeCamera:
    """A camera that gives some pictures and is then unplugged."""

    def __init__(self, pictures, rate=0.0):
        self._pictures, self._rate = list(pictures), rate
        self.released = False

    def isOpened(self):
        return bool(self._pictures)

    def read(self):
        return (True, self._pictures.pop(0)[..., ::-1]) if self._pictures else (False, None)

    def get(self, what):
        return self._rate

    def release(self):
        self.released = True


def test_a_camera_that_is_unplugged_ends_with_a_summary(monkeypatch):
    camera = FakeCamera(lights(*[240] * 9))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    lines, told, options = collect()
    code = predict_live(
        brightness_network(), LiveSource("0", "camera", drop=False), Settings(film=False), options
    )
    assert code == 1 and camera.released
    assert told[-1].startswith("camera 0: the camera stopped; is it unplugged? after 9 frames")
    assert [line["top"][0]["class"] for line in of(lines, "window")] == ["bright"] * 4
    assert of(lines, "segment")[0]["class"] == "bright"


def test_a_camera_that_is_not_there(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera([]))
    _, told, options = collect()
    assert predict_live(brightness_network(), LiveSource("7", "camera"), Settings(), options) == 1
    assert told == [
        "error: camera 7 cannot be opened: it is not connected, another program uses it, or this "
        "user may not read it. Cameras are numbered from 0; on Linux, /dev/video0 is 0."
    ]


def test_times_of_a_camera_increase(monkeypatch):
    frames = CameraFrames("camera 0", FakeCamera(lights(1, 2, 3), 10.0), 16)
    found = list(frames)
    assert frames.fps == 10.0
    assert [frame.image[0, 0, 0] for frame in found] == [1, 2, 3]
    assert found[0].time <= found[1].time <= found[2].time < frames.end


def test_a_source_that_fails_is_exit_code_1():
    def fail(k):
        if k == 6:
            raise sources.VideoReadError("the cable is cut")

    lines, told, options = collect()
    frames = Given(lights(*range(20), height=16, width=24), fail)
    assert run_live(brightness_network(), PIPE, frames, Settings(film=False), options) == 1
    assert "the cable is cut after 6 frames" in told[-1]
    assert of(lines, "summary")[0]["windows"] == 2


def test_the_source_is_closed_only_after_its_reader_has_ended(video):
    """If nobody reads the lines any more, the error is theirs, not one of the video."""

    def nobody(line):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        predict_live(
            brightness_network(),
            LiveSource(str(video), "file"),
            Settings(film=False),
            LiveOptions(emit=nobody, tell=lambda text: None),
        )
    assert not [t for t in threading.enumerate() if t.name == "live source" and t.is_alive()]


def test_nobody_reads_and_the_source_hangs():
    hang, left, told = threading.Event(), [], []

    def nobody(line):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    frames = Given(lights(*range(20), height=16, width=24), lambda k: k == 5 and hang.wait(60))
    options = LiveOptions(emit=nobody, tell=told.append, leave=left.append)
    with pytest.raises(BrokenPipeError):
        run_live(brightness_network(), PIPE, frames, Settings(film=False), options)
    hang.set()
    assert left == [1] and told == []


def test_ctrl_c_ends_with_a_summary():
    network = brightness_network()
    function = network.function

    def interrupt(frames):
        if len(network.batches) > 2:
            raise KeyboardInterrupt
        return function(frames)

    network.function = interrupt
    lines, told, options = collect()
    frames = Given(lights(*range(40), height=16, width=24))
    assert run_live(network, PIPE, frames, Settings(film=False), options) == 130
    assert of(lines, "summary")[0]["ended"] == "interrupted"


def test_a_source_that_hangs_is_left(monkeypatch):
    hang, left = threading.Event(), []

    def before(k):
        if k == 5:
            hang.wait(60)

    monkeypatch.setattr("afn_jax.predict.live.loop.STALLED_S", 0.2)
    monkeypatch.setattr("afn_jax.predict.live.loop._JOIN_S", 0.1)
    lines, told = [], []
    options = LiveOptions(emit=lines.append, tell=told.append, leave=left.append)
    frames = Given(lights(*range(20), height=16, width=24), before)
    source = LiveSource("rtsp://x", "url")
    assert run_live(brightness_network(), source, frames, Settings(film=False), options) == 1
    hang.set()
    assert left == [1]
    assert "no frame for 0.2 s after 5 frames" in told[-1]


class Interrupted(io.BytesIO):
    """A pipe during whose reading a user presses Ctrl-C, after some bytes."""

    def __init__(self, data, after):
        super().__init__(data)
        self._after = after

    def read1(self, size):
        if self.tell() >= self._after:
            raise KeyboardInterrupt
        return super().read1(min(size, self._after - self.tell()))


@pytest.mark.parametrize("after", [0, 200, 2000])
def test_ctrl_c_while_a_pipe_opens(monkeypatch, video, after):
    pipe = Interrupted(video.read_bytes(), after)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=pipe))
    lines, told, options = collect()
    assert predict_live(brightness_network(), PIPE, Settings(), options) == 130
    assert told == ["standard input: interrupted before the first window"]
    summary = of(lines, "summary")[0]
    assert lines == [summary] and summary["ended"] == "interrupted" and summary["frames"] == 0


@pytest.mark.parametrize("data", [b"", b"no video at all" * 1000])
def test_a_pipe_without_a_video(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
    _, told, options = collect()
    assert predict_live(brightness_network(), PIPE, Settings(), options) == 1
    assert "standard input cannot be opened" in told[0] and "ffmpeg ... -f matroska" in told[0]


def test_a_url_that_does_not_open():
    lines, told, options = collect()
    source = LiveSource("http://127.0.0.1:9/x.mp4", "url")
    assert predict_live(brightness_network(), source, Settings(), options) == 1
    assert told[0].startswith("error: http://127.0.0.1:9/x.mp4 cannot be opened: ")
    assert [line["event"] for line in lines] == ["summary"] and "opened" in lines[0]["ended"]


def test_a_file_is_played_at_its_own_rate(video):
    slept = []
    with open_frames(video) as frames:
        paced = Paced(frames, slept.append)
        found = list(paced)
        assert paced.fps == frames.fps
    assert len(found) == 41
    assert slept[-1] == pytest.approx(found[-1].time, abs=found[-1].time / 2)
    assert slept == sorted(slept)


def test_opens_a_file_as_a_live_source(video):
    with open_live(LiveSource(str(video), "file"), 16) as frames:
        assert next(iter(frames)).image.shape == (16, 21, 3)


@pytest.mark.parametrize(
    ("videos", "play", "kind", "drop"),
    [
        (["0"], False, "camera", True),
        (["-"], False, "pipe", False),
        (["-"], True, "pipe", True),
        (["rtsp://host/x"], False, "url", True),
        (["https://host/x.m3u8"], False, "url", True),
        (["a.mp4"], False, None, None),
        (["12"], False, None, None),  # a file of this name
        (["12"], True, "file", True),
    ],
)
def test_what_a_live_source_is(tmp_path, monkeypatch, videos, play, kind, drop):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "12").write_text("")
    found = live_source(videos, play=play)
    assert (None if found is None else (found.kind, found.drop)) == (
        None if kind is None else (kind, drop)
    )


def test_a_live_source_is_given_alone():
    with pytest.raises(ValueError, match="got 2, and camera 0 is a live source"):
        live_source(["0", "a.mp4"], play=False)


def test_a_network_without_classes_has_nothing_to_tell():
    network = brightness_network(class_names=(), flow_starts=(0,))
    with pytest.raises(ValueError, match="does not classify"):
        predict_live(network, PIPE, Settings(flow="npz"), collect()[2])


def test_lines_are_json(capsys):
    frames = Given(lights(*range(8), height=16, width=24))
    run_live(brightness_network(), PIPE, frames, Settings(film=False), LiveOptions())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["window"] * 3 + ["segment", "summary"]
    assert {"time", "top", "latency_ms", "dropped_windows", "dropped_frames"} <= set(lines[0])


def test_without_a_screen_the_reason_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      NONE\n")
    with open_screen("x", told.append) as screen:
        assert screen is None
    assert "headless" in told[0]
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      QT5\n")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no display" in why_no_screen()
    monkeypatch.setitem(os.environ, "DISPLAY", ":0")
    assert why_no_screen() == ""
