"""`network_input` of `docs/export.md` against what the engine gives a network, bit for bit."""

import re
from pathlib import Path

import av
import numpy as np
import pytest

from afn_jax.predict.engine import predict_video
from afn_jax.predict.frames.network_input import NetworkInput
from afn_jax.predict.frames.stream import Shown
from afn_jax.predict.settings import Settings
from tests.data.videos import encode, moving_picture
from tests.export.fake_network import FakeNetwork, make_card, mean_color

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def network_input():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "def network_input(" in block]
    names = {}
    exec(code, names)
    return names["network_input"]


@pytest.mark.parametrize(
    ("height", "width", "card"),
    [
        (96, 128, {}),  # both resizings shrink
        (97, 71, {"short_side": 37, "size": (30, 17)}),  # portrait, odd sides
        (50, 75, {"short_side": 64, "size": (24, 24), "crop_scale": 0.875}),  # enlarged, then less
        (48, 64, {"short_side": 48, "size": (40, 100)}),  # the box is enlarged
        (48, 64, {"short_side": 48, "size": (48, 64)}),  # nothing to resize
        (48, 64, {"short_side": 30, "crop_scale": 0.5, "size": (16, 16)}),  # a box below `size`
        (60, 90, {"brighten": "gamma", "gamma": 0.4}),
        (60, 90, {"brighten": "auto"}),
    ],
)
def test_is_what_the_engine_makes(network_input, height, width, card):
    card = make_card(**card)
    random = np.random.default_rng(0)
    for brightness in (255, 60):  # the second is dark: brighten "auto" changes it
        frames = random.integers(0, brightness, (4, height, width, 3), np.uint8)
        shown = Shown(height, width, card.short_side, None)
        seen = NetworkInput(card, *shown.size)
        expected = seen.window(np.stack([seen.frame(shown.both(frame)[0]) for frame in frames]))
        found = network_input(list(frames), card.to_json())
        assert found.shape == (4, *card.size, 3) and found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def test_is_what_predict_feeds_of_a_video(network_input, tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(11, 97, 129)[:, :96, :128])
    fed = []

    def remember(frames):
        fed.append(frames.copy())
        return mean_color(frames)

    network = FakeNetwork(make_card(stride=2, short_side=32, size=(20, 28)), remember)
    predict_video(str(path), "a", tmp_path, network, Settings(film=False))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    windows = [
        network_input(decoded[first : first + 7 : 2], network.card.to_json()) for first in (0, 3)
    ]
    np.testing.assert_array_equal(np.concatenate(fed[:2]), windows)
    assert network.card.to_json()["resize"] == "area"
