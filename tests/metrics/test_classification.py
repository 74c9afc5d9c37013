"""Top-k accuracy and the confusion matrix, compared with sorting and counting in NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.metrics import PerClass, TopK


def example(num_classes, size=40, seed=0):
    random = np.random.default_rng(seed)
    # Few distinct scores, so that there are many ties.
    scores = random.integers(4, size=(size, num_classes)).astype(np.float32)
    return scores, random.integers(num_classes, size=size), random.random(size) < 0.7


def top_by_sorting(scores, labels, mask, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (order == labels[:, None]).any(1)[mask].mean()


@pytest.mark.parametrize("num_classes", [1, 3, 5, 6, 20])
def test_top_k_matches_a_stable_sort(num_classes):
    scores, labels, mask = example(num_classes)
    result = TopK.from_batch(scores, labels, mask).compute()
    for k in (1, 5):
        expected = top_by_sorting(scores, labels, mask, k)
        assert result[f"top{k}"] == pytest.approx(expected)
    if num_classes <= 5:
        assert result["top5"] == 1


def test_equal_scores_for_all_classes_are_at_chance():
    labels = np.arange(10)
    result = TopK.from_batch(np.zeros((10, 10)), labels, np.ones(10, bool)).compute()
    assert result == pytest.approx({"top1": 0.1, "top5": 0.5})


def test_nan_scores_and_labels_outside_the_classes_are_wrong():
    scores = np.zeros((4, 8), np.float32)
    scores[0] = np.nan
    scores[1, 3] = np.nan
    labels = np.array([0, 3, -1, 8])
    result = TopK.from_batch(scores, labels, np.ones(4, bool)).compute()
    assert result == {"top1": 0, "top5": 0}
    confusion = PerClass.from_batch(scores, labels, np.ones(4, bool))
    assert confusion.counts.sum() == 2 and confusion.compute()["accuracy"] == 0
    # With fewer than five classes, every valid label is in the top five.
    few = TopK.from_batch(scores[:3, :3], np.array([0, 1, -1]), np.ones(3, bool)).compute()
    assert few == pytest.approx({"top1": 0, "top5": 1 / 3})


def test_confusion_matrix_is_indexed_by_true_then_predicted():
    scores, labels, mask = example(4)
    labels[labels == 2] = 3  # a class without examples
    metric = PerClass.from_batch(scores, labels, mask)
    expected = np.zeros((4, 4))
    for score, label, counts in zip(scores, labels, mask, strict=True):
        expected[label, np.argmax(score)] += counts
    assert not np.allclose(expected, expected.T)
    np.testing.assert_array_equal(metric.counts, expected)

    result = metric.compute()
    accuracies = [expected[i, i] / expected[i].sum() for i in (0, 1, 3)]
    np.testing.assert_allclose(result["per_class"], [*accuracies[:2], 0, accuracies[2]], rtol=1e-6)
    assert result["mean_per_class"] == pytest.approx(np.mean(accuracies))
    assert result["accuracy"] == pytest.approx((scores.argmax(1) == labels)[mask].mean())
    assert result["accuracy"] != pytest.approx(result["mean_per_class"])


@pytest.mark.parametrize("metric", [TopK, PerClass])
def test_merged_batches_match_one_large_batch(metric):
    scores, labels, mask = example(6)
    mask[:20] = np.random.default_rng(1).random(20) < 0.3  # a mean of means would differ
    whole = metric.from_batch(scores, labels, mask).compute()
    parts = [slice(0, 20), slice(20, 23), slice(23, 40)]
    merged = None
    for part in parts:
        one = metric.from_batch(scores[part], labels[part], mask[part])
        merged = one if merged is None else merged.merge(one)
    chex.assert_trees_all_close(merged.compute(), whole, rtol=1e-6)


@pytest.mark.parametrize("metric", [TopK, PerClass])
def test_sum_over_devices_matches_one_large_batch(metric):
    scores, labels, mask = example(6)
    whole = metric.from_batch(scores, labels, mask).compute()

    def step(*batch):
        return jax.lax.psum(metric.from_batch(*batch), "devices")

    split = [array.reshape(4, 10, *array.shape[1:]) for array in (scores, labels, mask)]
    summed = jax.pmap(step, axis_name="devices", out_axes=None)(*split)
    chex.assert_trees_all_close(summed.compute(), whole, rtol=1e-6)


@pytest.mark.parametrize("metric", [TopK, PerClass])
def test_padding_does_not_count(metric):
    scores, labels, _ = example(6, size=8)
    mask = np.arange(8) < 5
    padded_scores, padded_labels = scores.copy(), labels.copy()
    padded_scores[5:], padded_labels[5:] = np.nan, -1
    padded = metric.from_batch(padded_scores, padded_labels, mask)
    plain = metric.from_batch(scores[:5], labels[:5], mask[:5])
    chex.assert_trees_all_equal(padded, plain)


def test_has_no_accuracy_if_nothing_was_counted():
    scores, labels, _ = example(6, size=3)
    nothing = np.zeros(3, bool)
    assert np.isnan(list(TopK.from_batch(scores, labels, nothing).compute().values())).all()
    per_class = PerClass.from_batch(scores, labels, nothing).compute()
    assert not any(np.any(value) for value in per_class.values())


@pytest.mark.parametrize("metric", [TopK, PerClass])
def test_bfloat16_scores_under_jit_give_the_same_counts(metric):
    scores, labels, mask = example(6)
    low = jax.jit(metric.from_batch)(jnp.asarray(scores, jnp.bfloat16), labels, mask)
    chex.assert_trees_all_equal(low, metric.from_batch(scores, labels, mask))


@pytest.mark.parametrize("metric", [TopK, PerClass])
def test_rejects_wrong_shapes(metric):
    scores, labels, mask = example(6, size=4)
    for bad in ((scores[0], labels, mask), (scores, labels[:3], mask), (scores, labels, mask[:3])):
        with pytest.raises(ValueError, match="scores have shape .* must be"):
            metric.from_batch(*bad)
