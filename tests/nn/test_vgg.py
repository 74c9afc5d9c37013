"""VGG-16 and its pooling: PyTorch's windows, number of parameters, widths and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.vgg import VGG16, adaptive_average_pool, max_pool_halves
from tests.filled_variables import filled_variables

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (3, 2), (1, 1), (9, 10)])
def test_adaptive_pooling_matches_pytorch(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x).permute(0, 3, 1, 2), (7, 7))
    np.testing.assert_allclose(
        adaptive_average_pool(jnp.asarray(x), (7, 7)), pooled.permute(0, 2, 3, 1), atol=1e-6
    )


def test_adaptive_pooling_pools_clips_and_rejects_missing_axes():
    x = jnp.arange(8.0).reshape(1, 4, 1, 2, 1)
    np.testing.assert_array_equal(adaptive_average_pool(x, (2, 1, 1)).ravel(), [1.5, 5.5])
    with pytest.raises(AssertionError, match="rank 5 .* expected 4"):
        adaptive_average_pool(x, (2, 1))


@pytest.mark.parametrize("keep_last", [False, True])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 3)])
def test_max_pooling_matches_pytorch(size, keep_last):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pooled = torch.nn.functional.max_pool2d(
        torch.tensor(x).permute(0, 3, 1, 2), 2, ceil_mode=keep_last
    )
    np.testing.assert_array_equal(
        max_pool_halves(jnp.asarray(x), axes=(1, 2), keep_last=keep_last),
        pooled.permute(0, 2, 3, 1),
    )


@pytest.mark.parametrize("size", [(32, 50), (256, 340)])
def test_has_the_published_number_of_parameters_at_any_size(size):
    x = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    logits, variables = jax.eval_shape(
        lambda x: VGG16(1000).init_with_output(jax.random.key(0), x, train=False), x
    )
    assert logits.shape == (2, 1000)
    assert set(variables) == {"params"}
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 138_357_544


def test_width_scales_every_layer():
    x = jax.ShapeDtypeStruct((1, 32, 32, 20), jnp.float32)
    params = jax.eval_shape(
        lambda x: VGG16(5, width=2).init(jax.random.key(0), x, train=False)["params"], x
    )
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    assert shapes["conv1_1"] == (3, 3, 20, 2)
    assert shapes["conv2_2"] == (3, 3, 4, 4)
    assert shapes["conv5_3"] == (3, 3, 16, 16)
    assert shapes["fc6"] == (16 * 49, 128)
    assert shapes["fc7"] == (128, 128)
    assert shapes["classifier"] == (128, 5)


def test_each_dense_layer_has_its_dropout_rate():
    x = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    params = filled_variables(VGG16(3, width=1), x, train=False)

    def share_of_zeros(rates):
        network = VGG16(3, width=1, dropout_rates=rates)
        _, state = jax.jit(
            lambda params: network.apply(
                params,
                x,
                train=True,
                rngs={"dropout": jax.random.key(2)},
                capture_intermediates=lambda module, _: (module.name or "").startswith("Dropout"),
            )
        )(params)
        kept = state["intermediates"]
        return [float((kept[f"Dropout_{i}"]["__call__"][0] == 0).mean()) for i in (0, 1)]

    assert share_of_zeros((1.0, 0.0))[0] == 1.0
    six, seven = share_of_zeros((0.0, 1.0))
    assert six < 1.0 and seven == 1.0


def test_rejects_frames_below_32_x_32():
    with pytest.raises(ValueError, match="32 x 32 or larger"):
        VGG16(3, width=1).init(jax.random.key(0), jnp.zeros((1, 31, 64, 3)), train=False)
