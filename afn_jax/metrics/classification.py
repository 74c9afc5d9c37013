"""Mergeable classification metrics, kept as sums and counts.

`a.merge(b)` adds them, so a `psum` of the pytree over devices is a correct merge too.
"""

import operator
from typing import Self

import flax.struct
import jax
import jax.numpy as jnp

from afn_jax.metrics.mean import Mean
from afn_jax.types import Array


def true_class_rank(scores: Array, labels: Array) -> Array:
    """Computes the rank of the true class; 0 means that the prediction is right.

    Among equal scores, the class with the lower index ranks first, as in argmax. NaN scores rank
    before all others; if the score of the true class is NaN, its rank is the number of classes.

    Args:
        scores: `[batch, classes]`, NumPy or JAX array, higher for more likely classes.
        labels: `[batch]`, 0-based.

    Returns:
        `[batch]` integers, as an array of the same library.
    """
    xp = scores.__array_namespace__()
    own = xp.take_along_axis(scores, labels[:, None], axis=-1)
    later = xp.arange(scores.shape[1])[None] >= labels[:, None]
    # Counts the classes that do not rank behind the true class. NaN compares False, so it counts.
    return xp.sum(~((scores < own) | ((scores == own) & later)), axis=-1)


@flax.struct.dataclass
class TopK:
    """Top-1 and top-5 accuracy. With five classes or fewer, every label is in the top five."""

    top1: Mean
    top5: Mean

    @classmethod
    def from_batch(cls, scores: Array, labels: Array, mask: Array) -> Self:
        """Computes the metric of one batch.

        Args:
            scores: `[batch, classes]`, higher for more likely classes. A NaN score of the
                true class counts as wrong.
            labels: `[batch]`, 0-based. A label outside the classes counts as wrong.
            mask: `[batch]` bool, False = does not count.

        Raises:
            ValueError: if the shapes do not match.
        """
        scores, labels, mask = _checked(scores, labels, mask)
        rank = true_class_rank(scores, labels)
        return cls(
            top1=Mean.from_values(rank < 1, mask),
            top5=Mean.from_values(rank < min(5, scores.shape[1]), mask),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """Returns `top1` and `top5`, in [0, 1]; NaN if nothing was counted."""
        return {"top1": self.top1.compute(), "top5": self.top5.compute()}


@flax.struct.dataclass
class PerClass:
    """Confusion matrix: `counts[true, predicted]`."""

    counts: Array

    @classmethod
    def from_batch(cls, scores: Array, labels: Array, mask: Array) -> Self:
        """Computes the counts of one batch; arguments and errors as for `TopK.from_batch`.

        Labels outside the classes are left out. An example with a NaN score is wrong: it counts as
        predicted to be the first class whose score is NaN or, if that is the true class, the next.
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
        """Returns `per_class` `[classes]`, `mean_per_class` and `accuracy`, in [0, 1].

        A class without examples has accuracy 0 and is left out of `mean_per_class`.
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
    # A negative index would count from the end; an index past the end is ignored.
    return scores, jnp.where(labels < 0, scores.shape[1], labels), mask
