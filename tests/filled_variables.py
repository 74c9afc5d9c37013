"""Random variables of a network without compiling its initialization, which takes the longest."""

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.ops import initial_params


def filled_variables(model, *args, seed=0, **kwargs):
    """Returns variables for `model.apply`, drawn with NumPy.

    Kernels have He's standard deviation, scales and variances are near 1 and biases small. The
    parameters of flow layers have their initial values.
    """
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *args, **kwargs))
    random = np.random.default_rng(seed)

    def fill(path, leaf):
        name = path[-1].key
        for kernels in ("tvl1", "sobel"):
            initial = getattr(initial_params(kernels), name, None)
            if initial is not None and leaf.shape[leaf.ndim - initial.ndim :] == initial.shape:
                return jnp.broadcast_to(initial, leaf.shape)
        if name == "kernel":
            deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            deviation = 0.1
        offset = 1.0 if name in ("scale", "var") else 0.0
        return jnp.asarray(offset + deviation * random.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)
