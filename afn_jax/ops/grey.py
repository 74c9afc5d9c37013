"""The former name of `afn_jax.ops.gray`, kept for one release."""

from afn_jax.ops.gray import rgb_to_gray as rgb_to_grey

__all__ = ["rgb_to_grey"]
