"""The console script `afn-jax`: predict, flow, check and prepare."""
