"""Detects a compiler that silently computes wrong sums.

jaxlib 0.10.2 did so on the CPU (jax issue 39103): under `jit`, a broadcast product summed over its
last axis was off by more than its own magnitude. The bug needs large arrays, so this test has the
real size: a cost volume of 9 displacements over 25088 pixels of 16 channels.
"""

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np


def test_sums_of_products_are_correct(optimized):
    random = np.random.default_rng(0)
    features = random.normal(size=(25088, 16)).astype(np.float32)
    shifted = random.normal(size=(9, 25088, 16)).astype(np.float32)
    expected = np.mean(features[None].astype(np.float64) * shifted, axis=-1)

    means = jax.jit(lambda features, shifted: jnp.mean(features[None] * shifted, -1))(
        features, shifted
    )

    error = np.max(np.abs(np.asarray(means, np.float64) - expected))
    # For 16 products of normal numbers the error is about 1e-6 in float32, below 1e-2 in
    # TensorFloat-32, and about 1 if the sum is wrong.
    assert error < 1e-2, (
        f"jaxlib {jaxlib.__version__} on {jax.default_backend()} computes wrong sums: off by "
        f"{error:.2g} where the values are about 1. Nothing that it trains or measures can be "
        "trusted. Install another release of jax and jaxlib, e.g. pip install "
        f"'jax!=0.10.2,!={jax.__version__}', and exclude this one in pyproject.toml. Until then, "
        "on a CPU, XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=-reduce avoids jax issue 39103."
    )
