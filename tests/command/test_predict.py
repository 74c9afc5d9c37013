"""`afn-jax predict`: options, messages, exit codes and the last line."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import afn_jax.export
from afn_jax.command import predict
from afn_jax.command.__main__ import main
from afn_jax.predict.film.writer import FilmWriter
from tests.conftest import ROOT
from tests.data.videos import encode, moving_picture, write_video
from tests.predict.stand_ins import brightness_network


@pytest.fixture
def videos(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "videos" / name, num_frames=12)
    return tmp_path / "videos"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Returns `command(*arguments) -> (exit code, stdout, stderr)` of `afn-jax predict net.afn`."""
    loaded = []
    network = brightness_network(flow_starts=(0, 1, 2))

    def load(path, **needs):
        loaded.append((path, needs))
        return network

    monkeypatch.setattr(afn_jax.export, "load", load, raising=False)
    monkeypatch.setattr(predict, "start_jax", lambda cache: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main(["predict", "net.afn", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    run.loaded, run.network = loaded, network
    return run


def test_the_last_line_is_for_programs(command, videos):
    code, out, err = command(videos, "--out", "out", "--no-film")
    assert code == 0
    assert out.splitlines()[-1].startswith("videos=2 before=0 skipped=0 segments=2 times_real_")
    assert out.splitlines()[-1].endswith("index=out/index.html")
    assert command.loaded == [("net.afn", {"flow": False, "features": False})]
    assert "1 of 2  " in err and "2 of 2  " in err and "1 segment, " in err


def test_options_reach_the_outputs(command, videos, tmp_path):
    (tmp_path / "t.csv").write_text("dark,0.99\n")
    code, out, _ = command(
        *(videos / "a.mp4", "--out", "out", "--no-film", "--every", "0.2", "--top", "1"),
        *("--features", "--flow", "npz", "--thresholds", "t.csv", "--batch-size", "3"),
    )
    assert code == 0 and "segments=0" in out
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    settings = record["settings"]
    assert (settings["every"], settings["top"], settings["batch_size"]) == (0.2, 1, 3)
    assert settings["thresholds"] == [["dark", 0.99, pytest.approx(0.594), 0.0]]
    assert {"csv", "segments", "features", "flow", "thumbnails"} == set(record["files"])
    assert command.loaded == [("net.afn", {"flow": True, "features": True})]
    assert command.network.batches[0] == 3
    with open(tmp_path / "out" / "a.csv") as file:
        assert file.readline() == "start,end,class1,p1\n"


def test_the_page_shows_the_command(command, videos, tmp_path):
    command(videos / "a.mp4", "--out", "out", "--no-film", "--top", "1", "--threshold", "0.6")
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"afn-jax predict net.afn {videos / 'a.mp4'} --out out --threshold 0.6 --top 1" in page
    assert "--no-film" in page


def test_a_picture_among_videos_is_skipped(command, videos, tmp_path):
    (videos / "photo.jpg").write_bytes(b"x")
    code, out, _ = command(videos / "a.mp4", videos / "photo.jpg", "--out", "out", "--no-film")
    assert code == 0
    assert "photo.jpg: a picture, not a video; for the flow of two pictures: afn-jax flow" in out
    code, _, err = command(videos / "photo.jpg", "--out", "out2")
    assert code == 1 and "a picture, not a video" in err


def test_interruption(command, videos, monkeypatch):
    function = command.network.function

    def interrupt(frames):
        if len(command.network.batches) > 6:
            raise KeyboardInterrupt
        return function(frames)

    command.network.function = interrupt
    code, out, _ = command(videos, "--out", "out", "--no-film")
    assert code == 130
    assert "interrupted: 1 video is complete. The same command goes on with the rest." in out
    command.network.function = function
    code, out, _ = command(videos, "--out", "out", "--no-film")
    assert code == 0 and "videos=2 before=1" in out


ALL = ("--thresholds", "all.csv")
EFFECTS = "--out, --features, --flow, --suggest have no effect for a live source.*Leave them out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4"], "out: got none; give the folder"),
        (["--out", "out"], "videos: got none"),
        (["gone.mp4", "--out", "out"], "gone.mp4: no such file or folder"),
        (["a.mp4", "--out", "out", "--every", "0"], "every: got 0.0, but it must be above 0"),
        (["a.mp4", "--out", "out", "--low", "0.9"], "low: got 0.9; it must be at most"),
        (["a.mp4", "--out", "out", "--suggest", "-1"], "suggest: got -1"),
        (["a.mp4", "--out", "out", "--window", "3"], "window: net.afn|window: .*fixed"),
        (["0", "a.mp4"], "got 2, and camera 0 is a live source"),
        (["a.mp4", "--out", "out", "--batch-size", "-1"], "--batch-size: got -1, but it must be"),
        (["a.mp4", "--out", "out", "--film-height", "1"], "--film-height: got 1, but it must be"),
        (["a.mp4", "--out", "out", "--show"], "--show has no effect for files; .*Add --live"),
        (["-", "--features", "--flow", "npz", "--suggest", "3", "--out", "zz"], EFFECTS),
        (["a.mp4", "--out", "out", "--suggest-by", "entropy"], "--suggest-by has no effect with"),
        (["a.mp4", "--out", "out", "--no-film", "--film-height", "99"], "--film-height has no ef"),
        (["a.mp4", "--out", "out", "--fps", "9"], "--fps has no effect for video files"),
        (["a.mp4", "--live", "--no-film"], "--no-film has no effect for a live source"),
        (["0", "--live"], "--live has no effect on camera 0, which is live anyway"),
        (["rtsp://x/y", "--live"], "--live has no effect on rtsp://x/y, which is live"),
        (["gone.mp4", "--live"], "got gone.mp4, which is not there; --live plays one file"),
        (["*.mp4", "--live", "--out", "out"], "--live plays one file"),
        (["film.mp4", "--live"], "film.mp4 is a film that afn-jax wrote, not a video; give"),
        (["a.mp4", "--out", "out", *ALL, "--threshold", "0.9"], "--threshold has no effect with"),
        (["a.mp4", "--out", "out", *ALL, "--low", "0.1", "--least", "1"], "--low, --least have"),
        (["-", *ALL, "--low", "0.1"], "--low has no effect with all.csv, which has them for all"),
        (["a.mp4", "--out", "a.mp4/x"], "--out: a.mp4/x cannot be written .Not a directory.; give"),
        (["a.mp4", "--out", "out", "--thresholds", "no.csv"], "--thresholds: no.csv: No such file"),
    ],
)
def test_wrong_arguments_are_one_line(command, arguments, message, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "all.csv").write_text("dark,0.6,0.5,0\nbright,0.6,0.5,0\n")
    with FilmWriter(tmp_path / "film.mp4", height=32, width=48) as film:
        film.add(np.zeros((32, 48, 3), np.uint8), 0.0)
    code, out, err = command(*arguments)
    assert code == 1 and out == ""
    assert err.strip().count("\n") == 0
    assert re.search(message, err)


def test_options_of_a_network_without_classes(command):
    command.network.card = dataclasses.replace(command.network.card, class_names=())
    options = ("--flow", "npz", "--top", "3", "--least", "1")
    code, _, err = command("a.mp4", "--out", "out", *options)
    assert code == 1
    assert "--least, --top have no effect with fake.afn, which does not classify" in err


def test_usual_thresholds_of_a_file_have_an_effect(command, videos, tmp_path):
    (tmp_path / "t.csv").write_text("dark,0.6\nbright,0.6,,1\n")
    options = ("--thresholds", "t.csv", "--low", "0.1", "--least", "0.1")
    code, _, err = command(videos / "a.mp4", "--out", "out", "--no-film", *options)
    assert code == 0, err


def test_a_wrong_number_is_one_sentence(command):
    code, _, err = command("a.mp4", "--every", "abc")
    assert code == 2 and "Error parsing --every: got 'abc'; it must be a number" in err
    assert "NoneType" not in err and "{None}" not in err


def test_a_missing_network_is_told_with_what_to_give(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "start_jax", lambda cache: None)
    with pytest.raises(SystemExit):
        main(["predict", "nope.afn", "a.mp4", "--out", "out"])
    error = capsys.readouterr().err
    assert "error: NETWORK.afn: nope.afn: No such file or directory. Give a file that" in error
    assert "Errno" not in error


def test_suggestions_cover_videos_that_are_done(command, videos, tmp_path):
    command(videos, "--out", "out", "--no-film")
    code, out, _ = command(videos, "--out", "out", "--no-film", "--suggest", "2")
    assert code == 0 and "suggestions: out/suggest.csv out/suggest.html" in out
    listed = (tmp_path / "out" / "suggest.csv").read_text()
    assert "a.mp4" in listed and "b.mp4" in listed


def test_a_pipe_prints_lines_of_json(command, tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mkv", "libx264", moving_picture(12))
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    code, out, err = command("-")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines].count("window") == 5
    assert lines[-1]["event"] == "summary" and "5 windows" in err


SCRIPT = """
import sys, time
import afn_jax.export
from afn_jax.command import predict
from afn_jax.command.__main__ import main
from afn_jax.command.process import run_as_process
from tests.predict.stand_ins import brightness_network

network = brightness_network()
function = network.function

def slow(frames):
    time.sleep(0.05)
    return function(frames)

network.function = slow
afn_jax.export.load = lambda path, **needs: network
predict.start_jax = lambda cache: None
run_as_process(lambda: main(["predict", "net.afn", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_ctrl_c_of_a_process(tmp_path):
    """What is done is complete, nothing half-written is left, and the same command goes on."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for k in range(6):
        encode(folder / f"{k}.mp4", "libx264", moving_picture(60))
    arguments = [sys.executable, "-c", SCRIPT, str(folder), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("1*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # ignored
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"The same command goes on" in out and b"Traceback" not in err
    done = [p for p in (tmp_path / "out").glob("*.json") if p.name != "predict.json"]
    assert 2 <= len(done) < 6
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]
    assert (tmp_path / "out" / "index.html").exists()
    finished = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, timeout=120
    )
    assert finished.returncode == 0
    assert f"videos=6 before={len(done)}".encode() in finished.stdout


@pytest.mark.slow
def test_nobody_reads_the_lines_of_a_live_source(tmp_path):
    """No crash in the decoder, no word, and the video is not blamed."""
    path = encode(tmp_path / "a.mkv", "libx264", moving_picture(200))
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "-"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=open(path, "rb"),
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert os.read(read, 10) == b'{"event": '
    os.close(read)
    assert process.communicate(timeout=60)[1] == b"" and process.returncode == 1


def test_help_names_the_options(command):
    code, out, _ = command("--help")
    assert code == 0
    for option in ("VIDEO", "--out", "--every", "--thresholds", "--film-flow", "--suggest"):
        assert option in out


def test_labels_of_progress_are_not_markup(command, tmp_path):
    write_video(tmp_path / "[red]x[/red].mp4", num_frames=6)
    _, _, err = command("[red]x[/red].mp4", "--out", "out", "--no-film")
    assert "[red]x[/red].mp4" in err
