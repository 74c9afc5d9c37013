"""afn_jax: action recognition that learns optical flow from raw video, in JAX.

Import what you need from the sub-packages: `afn_jax.ops`, `afn_jax.losses`, `afn_jax.metrics`,
`afn_jax.nn`, `afn_jax.models`, `afn_jax.data`. Shapes, units and signs: `conventions.md` beside
this file.
"""

__version__ = "0.2.0"
