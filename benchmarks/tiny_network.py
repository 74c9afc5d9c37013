"""Runs `train` or `eval` with one more network, `tiny`, which traces and compiles in a second.

python -m benchmarks.tiny_network train actionflownet --scale toy --model.name tiny ...
"""

import os
import sys

# Set before JAX starts, as `train` and `eval` do.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> int:
    """Adds the network and runs the command that the first argument names."""
    import flax.linen as nn
    import jax.numpy as jnp

    from afn_jax.models import MODELS, VideoNetwork
    from afn_jax.types import Prediction

    class TinyNetwork(VideoNetwork):
        """One convolution with batch statistics, dropout and a classifier; no flow."""

        @nn.compact
        def __call__(self, frames, *, train):
            x = nn.Conv(self.width, (1, 3, 3), strides=(1, 2, 2))(frames)
            x = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, axis_name=self.axis_name, name="norm"
            )(x)
            x = nn.relu(x)
            pooled = jnp.concatenate(
                [x.mean((1, 2, 3)), jnp.abs(jnp.diff(x, axis=1)).mean((1, 2, 3))], -1
            )
            pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
            return Prediction(
                logits=nn.Dense(self.num_classes, name="classifier")(pooled), flows=()
            )

    MODELS["tiny"] = TinyNetwork
    name, sys.argv = sys.argv[1], sys.argv[1:]
    if name == "train":
        from train.__main__ import main as command
    else:
        from eval.__main__ import main as command
    return command()


if __name__ == "__main__":
    sys.exit(main())
