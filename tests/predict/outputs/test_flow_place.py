"""Which frames of a video have a flow."""

import numpy as np
import pytest

from afn_jax.predict.engine import predict_video
from afn_jax.predict.settings import Settings
from tests.data.videos import write_video
from tests.predict.stand_ins import brightness_network


@pytest.mark.parametrize(
    ("num_frames", "stride", "starts", "expected"),
    [
        (3, 1, (0, 1, 2), [0, 1]),  # the window shows 0 1 2 0
        (2, 1, (0, 1, 2), [0]),
        (1, 1, (0, 1, 2), []),
        (3, 2, (0, 1, 2), [0]),  # 0 2 1 0
        (3, 1, (0, 1, 2, 3), [0, 1]),
        (6, 1, (0, 1, 2), [0, 1, 2, 3, 4]),
    ],
)
def test_no_flow_leads_back_to_an_earlier_frame(tmp_path, num_frames, stride, starts, expected):
    network = brightness_network(flow_starts=starts, stride=stride)
    write_video(tmp_path / "a.mp4", num_frames=num_frames)
    settings = Settings(flow="npz", film=False)
    result = predict_video(str(tmp_path / "a.mp4"), "a", tmp_path, network, settings)
    if not expected:
        assert "flow" not in result.files
        return
    with np.load(tmp_path / result.files["flow"]) as file:
        assert file["frames"].tolist() == expected


def test_the_first_flow_of_a_frame_counts_within_a_window(tmp_path):
    network = brightness_network(flow_starts=(0, 1, 2))  # the speeds 1, 2, 3
    first = []
    for count in (2, 6):
        write_video(tmp_path / f"{count}.mp4", num_frames=count)
        settings = Settings(flow="npz", film=False)
        name = str(count)
        result = predict_video(str(tmp_path / f"{count}.mp4"), name, tmp_path, network, settings)
        with np.load(tmp_path / result.files["flow"]) as file:
            first.append(file["flow"][0])
    np.testing.assert_array_equal(*first)


@pytest.mark.parametrize(
    ("stride", "every", "future"),
    [(1, None, [10]), (1, 0.24, [3, 10]), (2, None, [9, 10])],
)
def test_future_flow_only_where_no_later_window_has_a_flow(tmp_path, stride, every, future):
    network = brightness_network(flow_starts=(0, 1, 2, 3), stride=stride)  # of 4 frames
    write_video(tmp_path / "a.mp4", num_frames=11)
    settings = Settings(flow="npz", film=False, every=every)
    result = predict_video(str(tmp_path / "a.mp4"), "a", tmp_path, network, settings)
    with np.load(tmp_path / result.files["flow"]) as file:
        speed = file["flow"][..., 0].max((1, 2))
        fourth = speed >= speed.max() - 0.01  # the speeds are 1 to 4, those of the future flow 4
        assert file["frames"][fourth].tolist() == future
