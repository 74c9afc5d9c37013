"""BN-Inception: the published size, and its sizes at even and odd images."""

import jax
import jax.numpy as jnp
import pytest

from afn_jax.nn import batch_norm
from afn_jax.nn.bn_inception import BNInception


def shapes(size, width=64):
    norm = batch_norm(train=False, dtype=jnp.float32, axis_name=None)
    network = BNInception(norm, width=width)
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    return jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x), image)


def test_number_of_parameters_is_the_published_one():
    """11,295,240 with 1000 classes and the biases in front of the normalisations."""
    features, variables = shapes((224, 224))
    assert features.shape == (2, 7, 7, 1024)
    norms = [leaf for name, leaf in variables["params"].items() if name.endswith("_norm")]
    biases = sum(norm["bias"].size for norm in norms)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count + biases + 1025 * 1000 == 11_295_240


@pytest.mark.parametrize("size", [(45, 67), (33, 32), (1, 1)])
def test_odd_sizes_are_rounded_up(size):
    features, _ = shapes(size, width=4)
    assert features.shape[:3] == (2, *(-(-n // 32) for n in size))
