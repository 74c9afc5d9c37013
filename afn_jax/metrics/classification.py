"""Mergeable metrics of classification: sums and counts, never a mean of means.

`a.merge(b)` adds, so a `psum` of the pytree over devices is a correct merge too.
"""

import operator
from typing import Self

import flax.struct
import jax
import jax.numpy as jnp

from afn_jax.types import Array


@flax.struct.dataclass
class TopK:
    """Top-1 and top-5 accuracy. With five classes or fewer, every label is in the top five."""

    top1: Array
    top5: Array
    count: Array

    @classmethod
    def from_batch(cls, scores: Array, labels: Array, mask: Array) -> Self:
        """Counts one batch.

        Args:
            scores: `[batch, classes]`, any that grow with the belief in a class.
            labels: `[batch]`, 0-based. One that is no class counts as wrong.
            mask: `[batch]` bool, False = does not count.
        """
        scores, labels, mask = _checked(scores, labels, mask)
        own = jnp.take_along_axis(scores, labels[:, None], -1)
        # Of equal scores the class with the lower number comes first, as in argmax. What counts is
        # who is not behind, so that NaN, which compares False, is never right.
        later = jnp.arange(scores.shape[1])[None] >= labels[:, None]
        rank = jnp.sum(~((scores < own) | ((scores == own) & later)), -1)
        rank = jnp.where(jnp.isnan(own[:, 0]), 5, rank)  # few classes would be in the top five
        return cls(
            top1=jnp.sum((rank < 1) & mask, dtype=jnp.float32),
            top5=jnp.sum((rank < 5) & mask, dtype=jnp.float32),
            count=jnp.sum(mask, dtype=jnp.float32),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """`top1` and `top5`, in [0, 1]; 0 if nothing was counted."""
        count = max(float(self.count), 1.0)
        return {"top1": float(self.top1) / count, "top5": float(self.top5) / count}


@flax.struct.dataclass
class PerClass:
    """The confusion matrix: counts, [true, predicted]."""

    counts: Array

    @classmethod
    def from_batch(cls, scores: Array, labels: Array, mask: Array) -> Self:
        """Counts one batch; arguments as for `TopK.from_batch`.

        A label that is no class is left out. Scores with NaN are wrong, as for `TopK`: they count
        for the first class whose score is NaN, or if that is the true one, for the next.
        """
        scores, labels, mask = _checked(scores, labels, mask)
        num_classes = scores.shape[1]
        predicted = jnp.argmax(scores, -1)
        lucky = jnp.isnan(scores).any(-1) & (predicted == labels)
        predicted = jnp.where(lucky, (predicted + 1) % num_classes, predicted)
        counts = jnp.zeros((num_classes, num_classes), jnp.float32)
        return cls(counts.at[labels, predicted].add(mask.astype(jnp.float32)))

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, Array | float]:
        """`per_class` `[classes]`, their mean over classes that have examples, and `accuracy`.

        A class without examples has accuracy 0 and stays out of `mean_per_class`.
        """
        examples = self.counts.sum(1)
        right = jnp.diagonal(self.counts)
        per_class = right / jnp.maximum(examples, 1)
        seen = jnp.maximum(jnp.sum(examples > 0), 1)
        return {
            "per_class": per_class,
            "mean_per_class": float(per_class.sum() / seen),
            "accuracy": float(right.sum() / jnp.maximum(examples.sum(), 1)),
        }


def _checked(scores: Array, labels: Array, mask: Array) -> tuple[Array, Array, Array]:
    scores, labels, mask = jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(mask, bool)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or mask.shape != scores.shape[:1]:
        raise ValueError(
            f"scores have shape {scores.shape}, labels {labels.shape} and mask {mask.shape}; they "
            "must be [batch, classes], [batch] and [batch]"
        )
    # A negative index would count from the end; one past the end is no class either, and harmless.
    return scores, jnp.where(labels < 0, scores.shape[1], labels), mask
