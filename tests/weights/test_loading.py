"""`load_into` and the adapters: they load what fits and report what does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.conv import conv3d
from afn_jax.weights import adapt_input_channels, average_input_channels, inflate_to_3d, load_into


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def weights():
    """Returns a network of two layers in the form that `convert` returns."""
    return {
        "params": {
            "encoder": {"conv1": {"kernel": random(3, 3, 3, 4)}, "norm1": {"scale": random(4)}},
            "classifier": {"kernel": random(4, 10)},
        },
        "batch_stats": {"encoder": {"norm1": {"mean": random(4)}}},
    }


def zeros(tree=None):
    return jax.tree.map(jnp.zeros_like, weights() if tree is None else tree)


def test_loads_everything():
    variables, report = load_into(zeros(), weights())
    jax.tree.map(np.testing.assert_array_equal, variables, weights())
    assert len(report.loaded) == 4
    assert str(report) == "loaded 4 arrays into the model"


def test_skipped_arrays_keep_their_values():
    model = zeros()
    model["params"]["classifier"]["kernel"] = jnp.full((4, 101), 3.0)
    model["params"]["decoder"] = {"kernel": jnp.full(2, 5.0)}
    variables, report = load_into(model, weights(), skip=("classifier", "decoder"))
    assert (variables["params"]["classifier"]["kernel"] == 3).all()
    assert (variables["params"]["decoder"]["kernel"] == 5).all()
    np.testing.assert_array_equal(variables["batch_stats"]["encoder"]["norm1"]["mean"], random(4))
    assert report.kept == ("params/classifier/kernel", "params/decoder/kernel")
    assert report.unused == ("params/classifier/kernel",)
    assert "kept as they were: classifier, decoder (2 arrays)" in str(report)
    # Entries may be names or paths, and match whole components.
    load_into(model, weights(), skip=("classifier/kernel", "decoder"))
    with pytest.raises(ValueError, match="skip: 'class' is in neither"):
        load_into(model, weights(), skip=("class", "decoder"))


@pytest.mark.parametrize(
    "side, message",
    [
        ("model", "in the model, but not in the weights: encoder/norm1 "),
        ("weights", "in the weights, but not in the model: encoder/norm1 "),
    ],
)
@pytest.mark.parametrize("collection, leaf", [("params", "scale"), ("batch_stats", "mean")])
def test_rejects_arrays_without_counterpart(side, message, collection, leaf):
    model, given = zeros(), weights()
    del {"model": given, "weights": model}[side][collection]["encoder"]["norm1"][leaf]
    with pytest.raises(ValueError, match=message):
        load_into(model, given)


def test_rejects_a_different_shape():
    model = zeros()
    model["params"]["classifier"]["kernel"] = jnp.zeros((10, 4))  # same number of elements
    with pytest.raises(ValueError, match=r"classifier/kernel: weights \(4, 10\), model \(10, 4\)"):
        load_into(model, weights())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rejects_arrays_that_are_not_finite(value):
    given = weights()
    given["params"]["encoder"]["conv1"]["kernel"][0, 0, 0, 1] = value
    with pytest.raises(
        ValueError, match="NaN or infinity in 1 of the 4 arrays: params/encoder/conv1/kern"
    ):
        load_into(zeros(), given)
    given["params"] = weights()["params"]
    given["params"]["classifier"]["kernel"][0, 0] = value
    load_into(zeros(), given, skip=("classifier",))  # not loaded


def test_a_misfit_names_the_options_of_the_command():
    model = zeros()
    model["params"]["classifier"]["kernel"] = jnp.zeros((4, 11))
    with pytest.raises(ValueError, match=r"--init.skip classifier .*--init.inflate .*"):
        load_into(model, weights())


def test_finds_the_part_or_lists_candidates():
    stream = zeros()
    one = {name: {"temporal": tree, "motion": {"w": 0.0}} for name, tree in stream.items()}
    variables, report = load_into(one, weights())
    assert report.at == "temporal"
    assert report.outside == ("batch_stats/motion/w", "params/motion/w")
    jax.tree.map(
        np.testing.assert_array_equal, variables["params"]["temporal"], weights()["params"]
    )

    two = {name: {"temporal": tree, "spatial": tree} for name, tree in stream.items()}
    with pytest.raises(ValueError, match="in each of .*temporal.*choose one with at="):
        load_into(two, weights())
    variables, _ = load_into(two, weights(), at="spatial")
    assert not variables["params"]["temporal"]["encoder"]["conv1"]["kernel"].any()
    assert variables["params"]["spatial"]["encoder"]["conv1"]["kernel"].any()

    with pytest.raises(ValueError, match="in no part of the model"):
        load_into({"params": {"other": {"kernel": jnp.zeros(2)}}}, weights())
    with pytest.raises(ValueError, match="at: there is no part 'flow' in the model"):
        load_into(two, weights(), at="flow")


def test_loads_a_part_with_the_name_of_a_skipped_layer():
    """The spatial stream is called "classifier" and contains a layer "classifier"."""
    model = {name: {"classifier": {"net": tree}} for name, tree in zeros().items()}
    whole_path = "classifier/net/classifier"
    for at, skip in ((None, "classifier"), ("classifier/net", whole_path)):
        variables, report = load_into(model, weights(), at=at, skip=(skip,))
        assert report.at == "classifier/net" and len(report.loaded) == 3
        assert report.kept == ("params/classifier/net/classifier/kernel",)
        stream = variables["params"]["classifier"]["net"]
        assert stream["encoder"]["conv1"]["kernel"].any()
        assert not stream["classifier"]["kernel"].any()
    with pytest.raises(ValueError, match="leaves nothing to load"):
        load_into(zeros(), weights(), at="", skip=("classifier", "encoder"))


def test_loads_a_part_of_the_weights():
    model = {name: {"motion": tree["encoder"]} for name, tree in zeros().items()}
    variables, report = load_into(model, weights(), part="encoder", at="motion")
    jax.tree.map(
        np.testing.assert_array_equal,
        variables["params"]["motion"],
        weights()["params"]["encoder"],
    )
    assert len(report.loaded) == 3 and report.unused == ("params/classifier/kernel",)
    with pytest.raises(ValueError, match="part: there is no part 'enc' in the weights, which has"):
        load_into(model, weights(), part="enc")


def test_adapts_kernels_only_on_request():
    model = zeros()
    model["params"]["encoder"]["conv1"]["kernel"] = jnp.zeros((5, 3, 3, 6, 4))
    for flags in ({}, {"inflate": True}, {"input_channels": "repeat"}):
        with pytest.raises(ValueError, match="encoder/conv1/kernel: weights"):
            load_into(model, weights(), **flags)
    variables, report = load_into(model, weights(), inflate=True, input_channels="repeat")
    loaded = variables["params"]["encoder"]["conv1"]["kernel"]
    kernel = weights()["params"]["encoder"]["conv1"]["kernel"]
    for tap in range(5):
        for frame in range(2):
            np.testing.assert_allclose(
                loaded[tap, :, :, 3 * frame : 3 * frame + 3], kernel / 10, rtol=1e-6
            )
    assert report.adapted == {
        "params/encoder/conv1/kernel": "inflated to 5 frames, repeat of RGB for 6 channels"
    }
    with pytest.raises(ValueError, match="input_channels: got 'mean'"):
        load_into(model, weights(), input_channels="mean")


def test_inflated_kernel_responds_to_a_static_clip_as_to_its_frame():
    kernel, frame = random(3, 3, 2, 4), jnp.asarray(random(1, 1, 6, 7, 2))
    clip = jnp.repeat(frame, 5, 1)
    still = conv3d(clip, jnp.asarray(inflate_to_3d(kernel, 3)))
    image = conv3d(frame, jnp.asarray(kernel)[None])
    np.testing.assert_allclose(still[:, 2:3], image, atol=1e-5)
    with pytest.raises(ValueError, match="kernel: got shape"):
        inflate_to_3d(random(3, 3, 3, 2, 4), 3)


def test_kernel_for_stacked_frames_responds_to_copies_as_to_one_frame():
    kernel, frame = random(1, 1, 3, 4), random(3)
    adapted = adapt_input_channels(kernel, 6)
    assert adapted.shape == (1, 1, 6, 4)
    np.testing.assert_allclose(
        np.tile(frame, 2) @ adapted[0, 0], frame @ kernel[0, 0], rtol=1e-4, atol=1e-6
    )
    with pytest.raises(ValueError, match="got 20, which is not a multiple.*average_input_channels"):
        adapt_input_channels(kernel, 20)


def test_cross_modality_repeats_the_channel_mean():
    kernel = random(7, 7, 3, 4)
    adapted = average_input_channels(kernel, 20)
    assert adapted.shape == (7, 7, 20, 4)
    for channel in (0, 19):
        np.testing.assert_allclose(adapted[:, :, channel], kernel.sum(2) / 3, atol=1e-6)
