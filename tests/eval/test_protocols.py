"""Compares each protocol with views that are cut out and averaged one by one."""

import dataclasses
import typing

import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Video
from afn_jax.types import Prediction
from eval.action import ActionConfig, evaluate
from eval.protocols import PROTOCOLS, find_protocol
from train.recipes import RECIPES

HEIGHT, WIDTH, SIDE = 8, 11, 7  # .875 of the height: boxes of 7 x 7, so nothing is resized
DATA = DataConfig(num_frames=3, size=(SIDE, SIDE), teacher="none", num_threads=1, prefetch=1)
WHOLE = dataclasses.replace(DATA, size=(HEIGHT, WIDTH))


@dataclasses.dataclass
class CodedVideo(Video):
    """A video whose pixel (t, y, x) is (number + t, y, x)."""

    number: int
    num_frames: int

    @property
    def name(self):
        return f"video {self.number}"

    @property
    def label(self):
        return self.number % 3

    def frames(self):
        t, y, x = np.meshgrid(*map(np.arange, (self.num_frames, HEIGHT, WIDTH)), indexing="ij")
        return np.stack([self.number + t, y, x], -1).astype(np.uint8)

    def clip(self, indices):
        return Clip(self.frames()[indices])


class Videos(list):
    class_names = ("a", "b", "c")
    skipped = ()


SOURCE = Videos([CodedVideo(0, 40), CodedVideo(70, 27), CodedVideo(128, 2)])


def logits(frames):
    """Computes a nonlinear function of time, position and mirroring: `[T, h, w, 3]` -> `[3]`."""
    corner, end = frames[0, 0, 0].astype(np.float64), frames[-1, -1, -1].astype(np.float64)
    return np.array([np.sin(corner[0]), np.sqrt(end[1]) - corner[2] / 5, end[2] * corner[1] / 30])


class Network:
    def __init__(self):
        self.seen = []

    def __call__(self, frames):
        self.seen += list(frames)
        return Prediction(logits=np.stack([logits(f) for f in frames]), flows=())


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def run(name, data, batch_size=7, clips=0):
    protocol = find_protocol(name, clips)
    network = Network()
    result = evaluate(network, SOURCE, data, protocol.views, batch_size)
    np.testing.assert_array_equal(result.labels, [0, 1, 2])
    return protocol, network, result


def logits_of_views(video, starts, boxes):
    """Computes the logits of each clip and box (top, left, mirrored) of a video, `[views, 3]`."""
    frames, views = video.frames(), []
    for start in starts:
        clip = frames[[(start + i) % video.num_frames for i in range(3)]]
        for top, left, mirrored in boxes:
            crop = clip[:, top : top + SIDE, left : left + SIDE]
            views.append(logits(crop[:, :, ::-1] if mirrored else crop))
    return np.stack(views)


def evenly(last, count):
    """Returns `count` evenly spaced starts from 0 to `last`, with halves rounded up."""
    return [int(np.floor(i * last / (count - 1) + 0.5)) for i in range(count)]


CENTER = [(0, 2, False)]
CORNERS = [(0, 0), (0, 4), (1, 0), (1, 4), (0, 2)]
TEN = [(*corner, mirrored) for mirrored in (False, True) for corner in CORNERS]


@pytest.mark.parametrize(
    ("name", "boxes", "weights"),
    [("hidden-two-stream", TEN, (1.0, 1.5)), ("uf-tsn", CENTER, (1.0, 1.0))],
)
@pytest.mark.parametrize("batch_size", [1, 32])
def test_25_uniform_clips(name, boxes, weights, batch_size):
    """Logits are averaged over 10 crops per clip (Hidden Two-Stream) or the center (UF-TSN)."""
    protocol, _, result = run(name, DATA, batch_size)
    assert (protocol.space, protocol.fusion_weights) == ("logits", weights)
    for i, video in enumerate(SOURCE):
        views = logits_of_views(video, evenly(max(video.num_frames - 3, 0), 25), boxes)
        assert len(views) == 25 * len(boxes) == result.views[i]
        np.testing.assert_allclose(result.scores(protocol.space)[i], views.mean(0), rtol=1e-6)
        np.testing.assert_allclose(result.probabilities[i], softmax(views).mean(0), rtol=1e-6)


def test_64_random_clips():
    """ActionFlowNet averages probabilities over random crops of random clips, always the same."""
    protocol, network, result = run("actionflownet", DATA, batch_size=64)
    assert protocol.space == "probabilities"
    numbers = np.array([0, 70, 128])
    cuts = [[], [], []]
    for crop in network.seen[: 64 * 3]:
        first, top, left = crop[0, 0, 0].astype(int)
        i = np.searchsorted(numbers, first, side="right") - 1
        frames = SOURCE[i].frames()[:, top : top + SIDE, left : left + SIDE]
        times = (first - numbers[i] + np.arange(3)) % SOURCE[i].num_frames
        np.testing.assert_array_equal(crop, frames[times])
        cuts[i].append((first - numbers[i], top, left))
    for i, video in enumerate(SOURCE):
        assert len(cuts[i]) == 64
        views = np.concatenate(
            [logits_of_views(video, [start], [(top, left, False)]) for start, top, left in cuts[i]]
        )
        expected = softmax(views).mean(0)
        np.testing.assert_allclose(result.scores(protocol.space)[i], expected, rtol=1e-6)
    starts, tops, lefts = map(set, zip(*cuts[0], strict=True))
    assert len(starts) > 25 and tops == {0, 1} and lefts == set(range(5))
    again = run("actionflownet", DATA, batch_size=5)[2]
    np.testing.assert_allclose(again.probabilities, result.probabilities, rtol=1e-12)


def test_clips_that_cover_the_video():
    """Clips of 3 frames: 14 cover a video of 40 frames, 9 one of 27, 1 one of 2."""
    protocol, network, result = run("representation-flow", WHOLE)
    assert protocol.space == "logits"
    np.testing.assert_array_equal(result.views, [14, 9, 1])
    starts = [evenly(37, 14), [3 * i for i in range(9)], [0]]
    shown = {int(value) for clip in network.seen for value in clip[:, 0, 0, 0]}
    assert shown == {v.number + t for v in SOURCE for t in range(v.num_frames)}
    for i, video in enumerate(SOURCE):
        clips = [video.frames()[[(s + k) % video.num_frames for k in range(3)]] for s in starts[i]]
        expected = np.mean([logits(clip) for clip in clips], 0)
        np.testing.assert_allclose(result.logits[i], expected, rtol=1e-6)


def test_every_recipe_names_a_protocol():
    recipes = [c for stages in RECIPES.values() for s in stages.values() for c in s.values()]
    assert recipes
    for config in recipes:
        assert config.protocol in PROTOCOLS, (config.recipe, config.stage, config.scale)


def test_the_command_line_offers_the_protocols_of_the_table():
    choices = typing.get_type_hints(ActionConfig)["protocol"]
    assert typing.get_args(choices) == tuple(PROTOCOLS)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


def test_number_of_clips():
    assert find_protocol("clips", 3).views.clips == 3
    np.testing.assert_array_equal(run("hidden-two-stream", DATA, clips=2)[2].views, [20] * 3)
    with pytest.raises(ValueError, match="clips: got 5, but protocol representation-flow uses"):
        find_protocol("representation-flow", 5)
    with pytest.raises(ValueError, match="protocol: got 'hts'. Allowed are clips, actionflownet"):
        find_protocol("hts")
