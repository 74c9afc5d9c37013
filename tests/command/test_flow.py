"""`afn-jax flow`: its options, its errors, and real pictures with true flow."""

import os

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.command.__main__ import main
from afn_jax.data.files.flow import read_flo
from afn_jax.data.files.image import read_picture
from afn_jax.ops import TVL1Config, tvl1_flow
from afn_jax.predict.film.mp4 import Mp4Writer
from tests.export.fake_network import FakeNetwork, make_card

FAST = "--num-scales 1 --num-warps 1 --num-iterations 3 --median-size 1".split()


@pytest.fixture(autouse=True)
def compilation_cache_of_the_tests(monkeypatch):
    monkeypatch.setattr("afn_jax.command.flow.start_jax", lambda cache: None)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two pictures `a.png` and `b.png`, and a video `v.mp4`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    cv2.imwrite("a.png", noise)
    cv2.imwrite("b.png", noise[:, ::-1])
    with Mp4Writer("v.mp4", height=24, width=36) as writer:
        for k in range(4):
            writer.add(np.roll(noise, k, 1), k / 10)
    return tmp_path


def call(*arguments):
    """Runs the command; returns its exit code."""
    try:
        return main(["flow", *arguments])
    except SystemExit as stop:
        return stop.code


def test_two_pictures_with_settings_of_tvl1(pictures, capsys):
    assert call("a.png", "b.png", *FAST, "--lam", "0.3", "--out", "flow") == 0
    config = TVL1Config(lam=0.3, num_scales=1, num_warps=1, num_iterations=3, median_size=1)
    first, second = (read_picture(p).astype(np.float32) / 255 for p in ("a.png", "b.png"))
    expected = np.asarray(tvl1_flow(first, second, config))
    np.testing.assert_allclose(read_flo("flow.flo")[0], expected, atol=1e-4)
    speed = np.linalg.norm(expected, axis=-1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert "TV-L1: 1 flow of 24 x 36 in flow.png, flow.flo" in last
    assert f"mean speed {speed.mean():.2f} px, largest {speed.max():.2f} px" in last


def test_names_of_results(pictures, capsys):
    assert call("a.png", "b.png", "--method", "dis") == 0
    assert call("a.png", "b.png", "--method", "dis", "--out", "c.flo") == 0
    assert call("v.mp4", "--method", "dis", "--formats", "mp4", "kitti") == 0
    names = {path.name for path in pictures.iterdir()} - {"a.png", "b.png", "v.mp4"}
    assert names == {"a_flow.png", "a_flow.flo", "c.flo", "v_flow.mp4", "v_flow_kitti"}
    assert "DIS: 3 flows of 24 x 36 in v_flow.mp4, v_flow_kitti" in capsys.readouterr().out


def test_frames_of_a_folder_with_other_pictures(pictures, capsys):
    (pictures / "all").mkdir()
    for name in ("img", "depth"):
        for k in range(3):
            (pictures / "all" / f"{name}_{k}.png").write_bytes((pictures / "a.png").read_bytes())
    assert call("all", "--method", "dis", "--formats", "npz") == 1
    assert "choose one by its names, such as --frame-names 'depth_*'" in capsys.readouterr().err
    named = ("--frame-names", "img_*", "--fps", "10")
    assert call("all", "--method", "dis", "--formats", "npz", *named) == 0
    with np.load("all_flow.npz") as file:
        np.testing.assert_allclose(file["times"], [0, 0.1])


def test_network(pictures, capsys, monkeypatch):
    def function(frames):
        from afn_jax.export.network import Outputs

        return Outputs(flows=(np.ones((1, 1, 6, 9, 2), np.float32),))

    network = FakeNetwork(
        make_card(num_frames=3, flow_starts=(0,), size=(24, 36), stride=2), function
    )
    monkeypatch.setattr("afn_jax.export.load", lambda path, *, flow: network, raising=False)
    assert call("v.mp4", "--model", "x.afn", "--formats", "flo") == 0
    output = capsys.readouterr().out
    assert "resnet18-frame of fake.afn: 1 flow of" in output  # of frames 0 and 2
    assert "too few, the last one is repeated up to 1 time\n" in output
    np.testing.assert_allclose(read_flo("v_flow_flo/000000.flo")[0], 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "inputs: got 0. Give two pictures of one size, a video, or a folder"),
        ("a.png", "a.png is one picture, but flow needs two"),
        ("a.png b.png a.png", "inputs: got 3"),
        ("a.png c.png", "c.png is missing"),
        ("a.png .", ". is a folder"),
        (".", "no numbered pictures"),
        ("a.png v.mp4", "v.mp4 is a video; give one video alone, or two pictures"),
        ("a.png b.png --out a", "the flow would replace the input a.png. Give another name"),
        ("v.mp4 --out ./v", "the flow would replace the input v.mp4"),
        ("a.png b.png --out a.png/x", "a.png is a file, not a folder"),
        ("a.png b.png --stride 2", "--stride has no effect for two pictures. Leave it out"),
        ("v.mp4 --fps 2", "--fps has no effect for a video"),
        ("d --formats flo kitti --fps 2", "--fps has no effect on flo, kitti, which hold no times"),
        ("v.mp4 --formats flo --max-magnitude 2", "--max-magnitude has no effect on flo"),
        ("v.mp4 --model x.afn", "--model: x.afn: No such file or directory. Give a file that"),
        ("a.png b.png --num-warps 0", "--num-warps is 0"),
        ("a.png b.png --out no/", "give a name without extension"),
        ("a.png b.png --lam -1", "--lam is -1.0; pass a number above 0"),
        ("a.png b.png --method dis --lam 1", "lam: it is a setting of TV-L1"),
        ("a.png b.png --method dis --model x.afn", "leave one of them out"),
        ("a.png b.png --model .", "python -m eval export --run ."),
        ("a.png b.png --formats mp4", "formats: got mp4; two pictures give png, flo"),
        ("v.mp4 --max-magnitude 0", "--max-magnitude: got 0.0, but it must be above 0"),
        ("v.mp4 --method dis --stride 4", "1 frame with stride 4, but flow needs two"),
    ],
)
def test_errors(pictures, capsys, arguments, message):
    (pictures / "d").mkdir()
    assert call(*arguments.split()) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(pictures.glob("*_flow*"))


def test_inputs_stay_whatever_they_are_called(pictures, capsys):
    (pictures / "f_png").mkdir()
    for k in range(3):
        (pictures / "f_png" / f"{k:06}.png").write_bytes((pictures / "a.png").read_bytes())
    os.symlink("v.mp4", "link.mp4")
    os.symlink(pictures, "here")
    before = {p: p.read_bytes() for p in pictures.rglob("*") if p.is_file()}
    for arguments in (
        "f_png --out f --formats png",
        "here/f_png --out f --formats flo png",
        "link.mp4 --out v",
        "here/v.mp4 --out v",
        "b.png a.png --out here/a --formats npz png",
        "f_png/000000.png a.png --out f_png/000000 --formats png",
    ):
        assert call(*arguments.split(), "--method", "dis") == 1
        assert "would replace the input" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in pictures.rglob("*") if p.is_file()} == before
    assert call("a.png", "b.png", "--method", "dis", "--out", "new/folder/flow") == 0
    assert (pictures / "new" / "folder" / "flow.flo").exists()


def test_results_are_replaced_only_on_request(pictures, capsys):
    (pictures / "r.flo").write_text("mine")
    (pictures / "r_png").mkdir()
    (pictures / "r_png" / "000000.png").write_text("mine")
    for arguments in (("a.png", "b.png"), ("v.mp4", "--formats", "png")):
        assert call(*arguments, "--out", "r", "--method", "dis") == 1
        error = capsys.readouterr().err
        assert "--out: r" in error and "exists already" in error and "--overwrite" in error
    assert call("v.mp4", "--formats", "png", "--out", "r", "--method", "dis", "--overwrite") == 1
    assert "the folder r_png is not replaced" in capsys.readouterr().err
    assert (pictures / "r_png" / "000000.png").read_text() == "mine"
    assert call("a.png", "b.png", "--out", "r", "--method", "dis", "--overwrite") == 0
    assert read_flo("r.flo")[0].shape == (24, 36, 2)
    for _ in range(2):
        again = ("--formats", "png", "kitti", "--overwrite")
        assert call("v.mp4", "--out", "s", "--method", "dis", *again) == 0
    assert call("v.mp4", "--out", "v", "--method", "dis", "--overwrite") == 1
    assert "replace the input" in capsys.readouterr().err


def test_results_are_not_inputs(pictures, capsys):
    assert call("v.mp4", "--method", "dis", "--formats", "png", "mp4", "--out", "r") == 0
    for name, what in (("r_png", "r_png is flow that"), ("r.mp4", "r.mp4 is a film that")):
        assert call(name, "--method", "dis") == 1
        assert f"{what} afn-jax wrote, not a video; give the video" in capsys.readouterr().err


def test_a_wrong_number_is_one_sentence(pictures, capsys):
    assert call("v.mp4", "--stride", "abc") == 2
    assert call("v.mp4", "--fps", "abc") == 2
    error = capsys.readouterr().err
    assert "Error parsing --stride: got 'abc'; it must be a whole number" in error
    assert "Error parsing --fps: got 'abc'; it must be a number" in error
    assert "NoneType" not in error and "{None}" not in error


@pytest.mark.slow
def test_middlebury(shared_data, tmp_path, optimized):
    """The .flo is the library's flow, with the error that docs/tvl1-accuracy.md reports."""
    data = shared_data / "flow_middlebury"
    if not data.is_dir():
        pytest.skip("there is no Middlebury data")
    first, second = (data / "other-data" / "RubberWhale" / f"frame{k}.png" for k in (10, 11))
    assert call(str(first), str(second), "--out", str(tmp_path / "flow")) == 0
    flow, _ = read_flo(tmp_path / "flow.flo")
    one, two = (read_picture(p) for p in (first, second))
    solve = jax.jit(lambda a, b: tvl1_flow(*(x.astype(jnp.float32) / 255 for x in (a, b))))
    np.testing.assert_array_equal(flow, solve(one, two))
    truth, known = read_flo(data / "other-gt-flow" / "RubberWhale" / "flow10.flo")
    found = np.linalg.norm(flow - truth, axis=-1)[known].mean()
    assert found == pytest.approx(0.167, abs=0.002)
