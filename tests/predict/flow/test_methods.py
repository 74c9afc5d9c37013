"""Methods of flow: every pair of frames gets its own flow, from a bounded number of frames."""

import numpy as np
import pytest

from afn_jax.data.teacher import DISTeacher
from afn_jax.export.network import Outputs
from afn_jax.ops import TVL1Config, tvl1_flow
from afn_jax.predict.flow.methods import DISMethod, NetworkMethod, TVL1Method
from tests.export.fake_network import FakeNetwork, make_card

SIZE = (16, 24)
SMALL = TVL1Config(num_scales=1, num_warps=1, num_iterations=3)


def network(num_frames, starts, **changes):
    """A network whose flow is (gray of its frame, gray of the next frame)."""

    def function(frames):
        gray = frames.mean((2, 3, 4), dtype=np.float64)  # [batch, frames]
        pairs = np.stack([gray[:, list(starts)], np.roll(gray, -1, 1)[:, list(starts)]], -1)
        return Outputs(flows=(np.tile(pairs[:, :, None, None], (1, 1, 4, 6, 1)),))

    card = make_card(num_frames=num_frames, flow_starts=tuple(starts), size=SIZE, **changes)
    return FakeNetwork(card, function)


def frames(count, size=SIZE):
    return [np.full((*size, 3), 10 * k + 5, np.uint8) for k in range(count)]


@pytest.mark.parametrize(
    "num_frames, starts",
    [
        (2, (0,)),
        (4, (0, 1, 2)),
        (5, (0, 1, 2, 3)),
        (6, (0, 1, 3, 4)),  # two segments
        (5, (2,)),
        (6, (1, 4)),
        (4, (3, 0)),  # the first leads out of the window
    ],
)
@pytest.mark.parametrize("count", [2, 3, 4, 7, 12])
def test_every_pair_has_its_own_flow(num_frames, starts, count):
    method = NetworkMethod(network(num_frames, starts))
    flows = list(method.flows(iter(frames(count))))
    assert len(flows) == count - 1
    for k, flow in enumerate(flows):
        # 4 x 6 maps are resized to 16 x 24, so the values grow by 4.
        np.testing.assert_allclose(flow, np.full((*SIZE, 2), 1) * [40 * k + 20, 40 * k + 60])


def test_notes_tell_of_repeated_and_resized_frames():
    method = NetworkMethod(network(16, range(15)))
    (flow,) = method.flows(frames(2, (20, 60)))
    assert flow.shape == (20, 60, 2)
    # x by 60 / 6, y by 20 / 4.
    np.testing.assert_allclose(flow[3, 3], [5 * 60 / 6, 15 * 20 / 4], rtol=1e-6)
    resized, repeated = method.notes
    assert "frames of 20 x 60 are resized to 16 x 24" in resized
    assert "takes 16 frames" in repeated
    assert repeated.endswith("the last one is repeated up to 14 times")
    middle = NetworkMethod(network(5, (2,)))  # its first pair needs frames before the first
    list(middle.flows(frames(6)))
    first, last = middle.notes
    assert "the first one is repeated up to 2 times" in first
    assert last.endswith("the last one is repeated up to 1 time")
    whole = NetworkMethod(network(4, range(3)))
    list(whole.flows(frames(9)))
    assert whole.notes == []


def test_networks_see_brightened_frames():
    dark = [np.full((*SIZE, 3), 16, np.uint8)] * 2
    for brighten in ("gamma", "auto"):
        method = NetworkMethod(network(2, (0,), brighten=brighten, gamma=0.5))
        (flow,) = method.flows(dark)
        assert flow[0, 0, 0] / 4 > 60  # 64 with gamma 0.5


def test_holds_few_frames():
    taken = 0

    def source():
        nonlocal taken
        for frame in frames(25):
            taken += 1
            yield frame

    for method, ahead in [
        (NetworkMethod(network(4, range(3))), 4),
        (TVL1Method(SMALL), 3),
        (DISMethod(), 2),
    ]:
        taken = 0
        for index, _ in enumerate(method.flows(source())):
            assert taken <= index + ahead
        assert taken == 25 and index == 23


def test_rejects_networks_without_flow():
    with pytest.raises(ValueError, match="fake.afn .resnet18-frame, .* predicts no flow. Give"):
        NetworkMethod(FakeNetwork(make_card()))
    with pytest.raises(ValueError, match="have 1 frame.s., and none of its flows"):
        NetworkMethod(FakeNetwork(make_card(num_frames=1, flow_starts=(0,))))


def test_classical_methods_are_those_of_the_library():
    noise = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)
    ours = list(TVL1Method(SMALL).flows(iter(noise)))
    expected = tvl1_flow(noise[:-1] / np.float32(255), noise[1:] / np.float32(255), SMALL)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    np.testing.assert_array_equal(
        np.stack(list(DISMethod().flows(iter(noise)))), DISTeacher("medium")(noise)
    )
    for method in (TVL1Method(SMALL), DISMethod(), NetworkMethod(network(4, range(3)))):
        assert list(method.flows(iter(noise[:1]))) == [] == list(method.flows(iter([])))
