"""Masks of losses: masked-out values have no influence and no gradient, whatever they are."""

import chex
import jax
import numpy as np
import pytest

from afn_jax import losses

SIZE = (2, 5, 6)


def multiscale(flow, target, mask):
    return losses.multiscale_endpoint_error([flow], target, weights=(2.0,), mask=mask)


# The function, the axes after the pixels of each argument, and whether there is a time axis.
CASES = {
    "charbonnier": (lambda x, mask: losses.masked_mean(losses.charbonnier(x), mask), [()], False),
    "edge_aware_smoothness_loss": (losses.edge_aware_smoothness_loss, [(2,), (3,)], False),
    "flow_loss": (losses.flow_loss, [(2,), (2,)], True),
    "l1_loss": (losses.l1_loss, [(3,), (3,)], False),
    "masked_mean": (losses.masked_mean, [()], False),
    "multiscale_endpoint_error": (multiscale, [(2,), (2,)], False),
    "photometric_loss": (losses.photometric_loss, [(3,), (3,)], False),
    "smoothness_loss": (losses.smoothness_loss, [(2,)], False),
}


@pytest.mark.parametrize("name", CASES)
def test_masked_out_values_have_no_influence(name):
    function, channels, time = CASES[name]
    random = np.random.default_rng(0)
    shape = (SIZE[0], 1, *SIZE[1:]) if time else SIZE
    arrays = [random.normal(size=(*shape, *axes)).astype(np.float32) for axes in channels]
    mask = random.random(shape) < 0.7
    differentiated = jax.jit(jax.value_and_grad(lambda arrays, mask: function(*arrays, mask=mask)))
    expected, expected_gradients = differentiated(arrays, mask)
    assert expected > 0 or name == "masked_mean"
    for value in (1e9, 3e38, -3e38):
        for sign, array in zip((1, -1), arrays, strict=False):
            array[~mask] = sign * np.float32(value)
        loss, gradients = differentiated(arrays, mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        chex.assert_trees_all_close(gradients, expected_gradients, rtol=1e-5, atol=1e-7)
        for gradient in gradients:
            assert not np.any(gradient[~mask]) and np.any(gradient[mask])
    loss, gradients = differentiated(arrays, np.zeros_like(mask))
    assert loss == 0 and not any(np.any(gradient) for gradient in gradients)
