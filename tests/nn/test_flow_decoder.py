"""The flow decoder: sizes, the start near zero flow, precision, and that gradients reach all."""

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.nn import FlowDecoder3D, batch_norm


def decode(x, skips):
    norm = batch_norm(train=True, dtype=jnp.float32, axis_name=None)
    decoder = FlowDecoder3D((6, 4), norm=norm)
    variables = jax.jit(decoder.init)(jax.random.key(0), x, skips)

    @jax.jit
    def apply(params):
        return decoder.apply(variables | {"params": params}, x, skips, mutable=["batch_stats"])[0]

    return apply, variables["params"]


def features(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def test_flow_has_the_size_of_the_last_skip_starts_near_zero_and_trains_all_parameters():
    # Odd sizes, as they come from odd frames, and one level that keeps time.
    x = features(2, 2, 2, 3, 8)
    skips = [features(2, 3, 3, 5, 5), features(2, 3, 6, 10, 3)]
    apply, params = decode(x, skips)
    flow = apply(params)
    assert flow.shape == (2, 3, 6, 10, 2)
    assert 0 < float(jnp.abs(flow).max()) < 0.1
    weights = features(*flow.shape)
    gradients = jax.jit(jax.grad(lambda params: (apply(params) * weights).sum()))(params)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_flow_is_float32_under_bfloat16():
    x = features(1, 1, 2, 2, 8)
    skips = [features(1, 2, 4, 4, 5), features(1, 2, 8, 8, 3)]
    norm = batch_norm(train=True, dtype=jnp.bfloat16, axis_name=None)
    decoder = FlowDecoder3D((6, 4), norm=norm, dtype=jnp.bfloat16)
    results = jax.eval_shape(decoder.init_with_output, jax.random.key(0), x, skips)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype("float32")}
