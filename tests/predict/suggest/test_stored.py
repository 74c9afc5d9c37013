"""Windows to suggest that were kept are those that were found."""

import numpy as np
import pytest

from afn_jax.predict.suggest.stored import load_windows, save_windows
from afn_jax.predict.suggest.suggestions import Suggestions

NAMES = ("walk", "run", "jump")


def offer(suggestions, path, seed, windows=30, features=True):
    rng = np.random.default_rng(seed)
    for k in range(windows):
        probabilities = rng.dirichlet(np.ones(3)).astype(np.float32)
        frames = np.full((4, 8, 12, 3), rng.integers(256), np.uint8)
        extra = rng.normal(size=5).astype(np.float32) if features else None
        suggestions.add(path, 0.5 * k, 0.5 * k + 1, probabilities, frames, extra)
    return suggestions.take_video()


def chosen(suggestions):
    return [
        (item.path, item.start, item.end, item.uncertainty, item.probabilities.tolist())
        for item in suggestions.choose()
    ]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("features", [False, True])
def test_kept_windows_give_the_same_suggestions(tmp_path, whole, features):
    direct = Suggestions(4, NAMES, whole_videos=whole)
    kept = Suggestions(4, NAMES, whole_videos=whole)
    for seed in range(5):
        windows = offer(direct, f"{seed}.mp4", seed, features=features)
        save_windows(tmp_path / "a.npz", windows, direct.kind)
        loaded = load_windows(tmp_path / "a.npz", f"{seed}.mp4", kept.kind)
        kept.add_video(loaded)
        for a, b in zip(windows, loaded, strict=True):
            assert len(a.pictures) == len(b.pictures) and len(a.pictures) > 1
            np.testing.assert_allclose(a.pictures[0], b.pictures[0], atol=2)
    assert len(chosen(direct)) == 4 and chosen(kept) == chosen(direct)


def test_a_video_without_windows_is_kept_too(tmp_path):
    suggestions = Suggestions(3, NAMES)
    save_windows(tmp_path / "a.npz", suggestions.take_video(), suggestions.kind)
    assert load_windows(tmp_path / "a.npz", "a.mp4", suggestions.kind) == []


def test_windows_of_other_options_or_damaged_ones_are_not_used(tmp_path):
    suggestions = Suggestions(3, NAMES)
    path = tmp_path / "a.npz"
    save_windows(path, offer(suggestions, "a.mp4", 0), suggestions.kind)
    assert load_windows(path, "a.mp4", Suggestions(2, NAMES).kind) is not None
    assert load_windows(path, "a.mp4", Suggestions(4, NAMES).kind) is None
    assert load_windows(path, "a.mp4", Suggestions(3, NAMES, by="entropy").kind) is None
    assert load_windows(path, "a.mp4", Suggestions(3, NAMES, whole_videos=True).kind) is None
    assert load_windows(tmp_path / "gone.npz", "a.mp4", suggestions.kind) is None
    data = path.read_bytes()
    for size in (0, 10, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:size])
        assert load_windows(path, "a.mp4", suggestions.kind) is None
