"""Networks with their weights as one file, and how to load it."""

from afn_jax.export.load import load

__all__ = ["load"]
