"""Sizes of BN-Inception's features for even and odd images."""

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


@pytest.mark.parametrize("size", [(224, 224), (45, 67), (33, 32), (1, 1)])
def test_odd_sizes_are_rounded_up(size):
    features, _ = shapes(size, width=4)
    assert features.shape[:3] == (2, *(-(-n // 32) for n in size))
