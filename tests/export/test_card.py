"""Tests of cards."""

import json

import numpy as np
import pytest

from afn_jax.export.card import Card
from tests.export.fake_network import FakeNetwork, make_card


def test_survives_json():
    card = make_card(class_names=("été", "a\nb"), flow_starts=(0, 2), metrics={"top1": 1.0})
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card


def test_ignores_unknown_fields():
    assert Card.from_json(make_card().to_json() | {"later": 1}) == make_card()


def test_reads_cards_of_versions_without_the_rule_of_resizing():
    values = make_card().to_json()
    assert values.pop("resize") == "area"
    assert Card.from_json(values) == make_card()


def test_whole_numbers_pass_for_numbers():
    card = Card.from_json(make_card().to_json() | {"gamma": 1, "metrics": {"top1": 1}})
    assert isinstance(card.gamma, float) and isinstance(card.metrics["top1"], float)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("class_names", "left", "class_names: got 'left'; it must be a list of texts"),
        ("class_names", [1], "class_names"),
        ("num_frames", "4", "num_frames: got '4'; it must be a whole number"),
        ("num_frames", True, "num_frames"),
        ("num_frames", 4.5, "num_frames"),
        ("num_frames", 0, "num_frames: got 0; it must be 1 or more"),
        ("num_segments", 3, "num_segments: got 3, which does not divide the 4 frames"),
        ("size", [16], "size: got .*; it must be a list of 2 whole numbers"),
        ("size", [0, 16], "size"),
        ("crop_scale", 1.5, "crop_scale"),
        ("gamma", 0.0, "gamma"),
        ("gamma", float("nan"), "gamma"),
        ("brighten", "much", "brighten: got 'much'"),
        ("flow_starts", [0, 4], "flow_starts: .* 0 to 3"),
        ("metrics", {"top1": "good"}, "metrics: .* an object with a number per name"),
        ("feature_size", -1, "feature_size"),
        ("resize", "bilinear", "resize: got 'bilinear'; .* newer version"),
        ("resize", None, "resize: got None; it must be text"),
    ],
)
def test_rejects_wrong_fields(field, value, message):
    with pytest.raises(ValueError, match=message):
        Card.from_json(make_card().to_json() | {field: value})


def test_rejects_missing_fields_and_other_values():
    values = make_card().to_json()
    del values["size"]
    with pytest.raises(ValueError, match="no field 'size'"):
        Card.from_json(values)
    with pytest.raises(ValueError, match="must be an object"):
        Card.from_json([values])


def test_fake_network_predicts_and_rejects_other_frames():
    network = FakeNetwork()
    frames = np.zeros((2, 4, 16, 24, 3), np.uint8)
    frames[1, ..., 2] = 255
    np.testing.assert_array_equal(network(frames).logits, [[0, 0, 0], [0, 0, 1]])
    assert network.batches == [2]
    for wrong in (frames[:, :3], frames.astype(np.float32), frames[:0]):
        with pytest.raises(ValueError, match=r"fake.afn takes \[batch, 4, 16, 24, 3\] uint8"):
            network(wrong)
