"""`python -m eval video` is the engine of `afn-jax predict` on a run folder."""

import pytest

import eval.video
from tests.data.videos import write_video
from tests.predict.stand_ins import brightness_network


@pytest.fixture
def loaded(monkeypatch):
    found = []

    def load_run(run_dir, **needs):
        found.append((run_dir, needs))
        return brightness_network(flow_starts=(0, 1, 2))

    monkeypatch.setattr(eval.video, "load_run", load_run)
    return found


def test_predicts_with_a_run_folder(run_main, loaded, tmp_path):
    write_video(tmp_path / "a.mp4", num_frames=12)
    code, out, err = run_main(
        *("eval", "video", "--run", "runs/x", tmp_path / "a.mp4", "--out", tmp_path / "out"),
        *("--no-film", "--flow", "npz"),
    )
    assert code == 0, err
    assert out.splitlines()[-1].startswith("videos=1 ")
    assert loaded == [("runs/x", {"flow": True, "features": False})]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "python -m eval video --run runs/x" in page


def test_the_exit_code_is_that_of_the_engine(run_main, loaded, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(bytes(100))
    arguments = ("--run", "x", tmp_path / "broken.mp4", "--out", tmp_path / "out")
    assert run_main("eval", "video", *arguments)[0] == 1
