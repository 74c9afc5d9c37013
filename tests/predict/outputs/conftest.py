import pytest

from tests.data.videos import write_video


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Returns the working folder, with the videos w/a.mp4, w/b.avi and v/a.mp4."""
    monkeypatch.chdir(tmp_path)
    for name in ("w/a.mp4", "w/b.avi", "v/a.mp4"):
        write_video(tmp_path / name, num_frames=6 + len(name) // 7)
    return tmp_path
