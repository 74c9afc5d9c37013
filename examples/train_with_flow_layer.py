"""Trains a network of three convolutions to classify motion, with and without the flow layer.

    python examples/train_with_flow_layer.py

The clips come from `synthetic_motion`: its eight classes differ only in motion, so a network that
looks at single frames stays at chance, 12.5 %. The same three convolutions are trained with and
without the representation flow layer between them. Takes less than two minutes on two CPU cores,
and needs the `train` extra only because rendering is part of `afn_jax.data`.
"""

import argparse
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from afn_jax.data.sources.synthetic_motion import CLASS_NAMES, SyntheticMotion
from afn_jax.nn import RepresentationFlow


class ThreeLayers(nn.Module):
    """Frames `[batch, time, H, W, 3]` in [0, 1] -> logits; the same layers for every frame."""

    num_classes: int
    with_flow: bool

    @nn.compact
    def __call__(self, frames):
        x = nn.relu(nn.Conv(16, (3, 3), (2, 2), name="conv1")(frames))
        if self.with_flow:
            x = RepresentationFlow(channels=8, features=32, num_iterations=10, name="flow")(x)
        x = nn.relu(nn.Conv(32, (3, 3), (2, 2), name="conv2")(x))
        x = nn.relu(nn.Conv(64, (3, 3), (2, 2), name="conv3")(x))
        x = x.mean(axis=(1, 2, 3))  # over time and space
        return nn.Dense(self.num_classes, name="classifier")(x)


def render(num_clips: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Renders `[N, 6, 32, 32, 3]` uint8 and labels `[N]`, with motion slow enough for the layer."""
    source = SyntheticMotion(num_clips, num_frames=6, speed=(0.8, 1.6), split=split)
    clips = [source[i].clip(np.arange(6)).frames for i in range(num_clips)]
    return np.stack(clips), np.array([source[i].label for i in range(num_clips)])


def train(model, frames, labels, *, steps: int, batch_size: int = 32, seed: int = 0):
    """Trains with Adam on random batches; returns the parameters."""
    params = model.init(jax.random.key(seed), to_float(frames[:1]))["params"]
    # The paper trains the flow layer's own parameters at 1/100 of the learning rate (appendix A).
    labels_of_params = jax.tree_util.tree_map_with_path(
        lambda path, _: "flow" if [key.key for key in path][:2] == ["flow", "flow"] else "rest",
        params,
    )
    rate = optax.cosine_decay_schedule(3e-3, steps)
    optimizer = optax.multi_transform(
        {"rest": optax.adam(rate), "flow": optax.adam(lambda step: 0.01 * rate(step))},
        labels_of_params,
    )

    @jax.jit
    def step(params, opt_state, frames, labels):
        def loss_fn(params):
            logits = model.apply({"params": params}, to_float(frames))
            return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state = optimizer.init(params)
    random = np.random.default_rng(seed)
    for number in range(1, steps + 1):
        chosen = random.integers(len(frames), size=batch_size)
        params, opt_state, loss = step(params, opt_state, frames[chosen], labels[chosen])
        if number % 100 == 0:
            print(f"  step {number:4d}  loss {float(loss):.3f}")
    return params


def to_float(frames):
    return jnp.asarray(frames, jnp.float32) / 255


def accuracy(model, params, frames, labels) -> float:
    predict = jax.jit(lambda frames: model.apply({"params": params}, to_float(frames)).argmax(-1))
    right = [predict(frames[i : i + 64]) == labels[i : i + 64] for i in range(0, len(labels), 64)]
    return float(np.concatenate(right).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=250, help="training steps")
    parser.add_argument("--clips", type=int, default=1536, help="training clips")
    arguments = parser.parse_args()
    start = time.perf_counter()
    train_clips, test_clips = render(arguments.clips, "train"), render(512, "test")
    for name, with_flow in (("without flow layer", False), ("with flow layer", True)):
        print(name)
        model = ThreeLayers(len(CLASS_NAMES), with_flow)
        params = train(model, *train_clips, steps=arguments.steps)
        print(f"  top-1 on 512 held-out clips: {accuracy(model, params, *test_clips):.3f}")
        if with_flow:
            learned = params["flow"]["flow"]
            print(
                f"  learned: tau {learned['tau']:.4f}, lambda {learned['lam']:.4f}, "
                f"theta {learned['theta']:.4f}"
            )
    print(f"chance: {1 / len(CLASS_NAMES):.3f}; {time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
