"""Objectives with the papers' flow losses match `afn_jax.losses`.

Their terms are exact over padding, masks and devices.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import (
    cross_entropy,
    jointflow3d_loss,
    motionnet_loss,
    multiscale_endpoint_error,
    uf_tsn_loss,
)
from afn_jax.losses.actionflownet import SCALE_WEIGHTS
from afn_jax.losses.motionnet import CAFFE_JOINT
from afn_jax.models.jointflow3d import triplet_frames
from afn_jax.types import Batch, Prediction
from train.objectives import create_objective, flow_and_target

SIDE = 16
random = np.random.default_rng(0)


def clip(batch, frames, *, target=True, mask=None):
    shape = (batch, frames, SIDE, SIDE)
    # Known in whole quarters of the image, so that every flow size has known pixels.
    known = random.random((batch, frames, 2, 2)) < 0.7
    known = known.repeat(SIDE // 2, axis=2).repeat(SIDE // 2, axis=3)
    return Batch(
        frames=random.random((*shape, 3)).astype(np.float32),
        labels=random.integers(0, 3, batch).astype(np.int32),
        flows=random.normal(size=(*shape, 2)).astype(np.float32) if target else None,
        flow_mask=known if target else None,
        mask=np.ones(batch, bool) if mask is None else np.array(mask),
    )


def predicted(batch, pairs, sides, classes=3):
    flows = tuple(
        jnp.asarray(random.normal(size=(batch, pairs, side, side, 2)), jnp.float32)
        for side in sides
    )
    return Prediction(jnp.asarray(random.normal(size=(batch, classes)), jnp.float32), flows)


def terms_of(objective, prediction, batch):
    """Computes the terms of an objective, compiled as one program."""
    return jax.jit(objective)(prediction, batch)


def means(terms):
    return {name: term.compute() for name, term in terms.items()}


def total(objective, terms):
    return sum(weight * terms[name].compute() for name, weight in objective.weights.items())


def part(tree, where):
    return jax.tree.map(lambda x: x[where], tree)


@pytest.mark.slow
def test_motionnet_alone_matches_the_library_loss():
    batch, prediction = clip(2, 4), predicted(2, 3, (8, 4, 2))
    expected, terms = jax.jit(motionnet_loss)(batch.frames, prediction.flows)
    objective = create_objective("motionnet", action=False, flow_weight=0.5)
    found = terms_of(objective, prediction, batch)
    assert "cross_entropy" not in found and "epe" in found
    assert total(objective, found) == pytest.approx(0.5 * float(expected), rel=1e-5)
    for name, value in terms.items():
        assert means(found)[name] == pytest.approx(float(value), rel=1e-5), name


def test_motionnet_with_action_has_the_authors_weights_for_a_batch_of_eight():
    batch, prediction = clip(8, 3, target=False), predicted(8, 2, (12, 8))  # four patches, one
    weights = CAFFE_JOINT._replace(**{n: getattr(CAFFE_JOINT, n)[:2] for n in CAFFE_JOINT._fields})
    authors = jax.jit(lambda f, v: motionnet_loss(f, v, weights=weights, reduction="caffe")[1])
    expected = authors(batch.frames, prediction.flows)
    objective = create_objective("motionnet")
    found = terms_of(objective, prediction, batch)
    for name in ("pixel", "smooth", "ssim"):
        assert means(found)[name] == pytest.approx(float(expected[name]), rel=1e-4), name
    assert set(found) == {"cross_entropy", "top1", "pixel", "smooth", "ssim"}
    assert objective.weights == {"cross_entropy": 1, "pixel": 1, "smooth": 1, "ssim": 1}


def test_the_weight_of_ssim_does_not_grow_with_windows():
    """Twenty pairs are two of MotionNet's windows of ten, and count as much as one window."""
    batch, prediction = clip(1, 21, target=False), predicted(1, 20, (8,))
    alone = jax.jit(create_objective("motionnet", action=False))
    found = means(alone(prediction, batch))
    halves = [
        means(
            alone(
                prediction.replace(flows=(prediction.flows[0][:, start : start + 10],)),
                batch.replace(frames=batch.frames[:, start : start + 11]),
            )
        )
        for start in (0, 10)
    ]
    for name in ("pixel", "smooth", "ssim"):
        assert found[name] == pytest.approx((halves[0][name] + halves[1][name]) / 2, rel=1e-5)


def test_segments_have_no_flow_from_one_to_the_next():
    batch, prediction = clip(1, 6), predicted(1, 4, (8,))
    whole = create_objective("motionnet", action=False, starts=(0, 1, 3, 4))
    found = means(terms_of(whole, prediction, batch))
    alone = jax.jit(create_objective("motionnet", action=False))
    halves = [
        means(
            alone(
                prediction.replace(flows=(prediction.flows[0][:, flows],)),
                batch.replace(
                    **{n: getattr(batch, n)[:, frames] for n in ("frames", "flows", "flow_mask")}
                ),
            )
        )
        for frames, flows in ((slice(0, 3), slice(0, 2)), (slice(3, 6), slice(2, 4)))
    ]
    for name in ("pixel", "smooth", "ssim"):
        assert found[name] == pytest.approx((halves[0][name] + halves[1][name]) / 2, rel=1e-5)
    _, target, _ = flow_and_target(prediction, batch, (0, 1, 3, 4))
    np.testing.assert_array_equal(target, batch.flows[:, [0, 1, 3, 4]])


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_uf_tsn_matches_the_library_loss(both):
    batch, prediction = clip(2, 3), predicted(2, 4 if both else 2, (16, 8))
    forward = [flow[:, :2] for flow in prediction.flows]
    backward = [flow[:, 2:] for flow in prediction.flows] if both else []
    expected, _ = jax.jit(uf_tsn_loss)(batch.frames[:, :-1], batch.frames[:, 1:], forward, backward)
    objective = create_objective("uf-tsn", action=False)
    found = terms_of(objective, prediction, batch)
    assert total(objective, found) == pytest.approx(float(expected), rel=1e-5)
    # The endpoint error is that of the forward flow.
    flow, target, mask = forward[0], batch.flows[:, :2], batch.flow_mask[:, :2]
    epe = np.linalg.norm(np.asarray(flow) - target, axis=-1)[mask].mean()
    assert means(found)["epe"] == pytest.approx(float(epe), rel=1e-4)


def test_jointflow3d_matches_the_library_loss():
    batch, prediction = clip(2, 6), predicted(2, 2, (SIDE,))
    expected, _ = jax.jit(jointflow3d_loss)(
        prediction.logits,
        batch.labels,
        *triplet_frames(jnp.asarray(batch.frames)),
        prediction.flows[0],
    )
    objective = create_objective("jointflow3d", starts=(0, 3))
    found = terms_of(objective, prediction, batch)
    assert total(objective, found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_multiscale_matches_the_library_loss():
    batch = clip(3, 2)
    batch = batch.replace(flow_mask=np.ones_like(batch.flow_mask))
    prediction = predicted(3, 1, (8, 4, 2, 1))
    expected = cross_entropy(prediction.logits, batch.labels).mean()
    expected += 0.5 * multiscale_endpoint_error(
        [f[:, 0] for f in prediction.flows], batch.flows[:, 0], weights=SCALE_WEIGHTS
    )
    objective = create_objective("multiscale", flow_weight=0.5)
    found = terms_of(objective, prediction, batch)
    assert total(objective, found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    "flow, pairs, sides",
    [("multiscale", 2, (8, 4)), ("motionnet", 2, (8,)), ("uf-tsn", 4, (8,))],
)
def test_sums_and_counts_of_the_devices_add_up(flow, pairs, sides):
    """The two halves of a batch add up to the whole, with padding in one of them."""
    batch, prediction = clip(4, 3, mask=[True, True, True, False]), predicted(4, pairs, sides)
    objective = jax.jit(create_objective(flow))
    whole = objective(prediction, batch)
    halves = [objective(part(prediction, h), part(batch, h)) for h in (slice(0, 2), slice(2, 4))]
    for name, term in whole.items():
        summed = [sum(float(getattr(half[name], x)) for half in halves) for x in ("sum", "count")]
        np.testing.assert_allclose(summed, [term.sum, term.count], rtol=1e-5, err_msg=name)
    # The contents of padding do not count.
    other = part(batch, slice(None)).replace(frames=batch.frames.copy())
    other.frames[3] = 0.5
    for name, value in means(objective(prediction, other)).items():
        assert value == pytest.approx(means(whole)[name], rel=1e-6), name


def test_applies_term_weights_and_label_smoothing():
    batch, prediction = clip(2, 3), predicted(2, 2, (8,))
    weights = {"term_weights": ("smooth=0", "census=3"), "label_smoothing": 0.2}
    objective = create_objective("uf-tsn", flow_weight=0.5, **weights)
    found = terms_of(objective, prediction, batch)
    assert objective.weights == {"cross_entropy": 1, "diff": 0.1, "census": 1.5, "smooth": 0}
    log_p = np.log(np.asarray(jax.nn.softmax(prediction.logits)))
    losses = 0.8 * log_p[np.arange(2), batch.labels] + 0.2 * log_p.mean(1)
    assert means(found)["cross_entropy"] == pytest.approx(-losses.mean(), rel=1e-5)


@pytest.mark.parametrize("text", ["epe=1", "smooth=-1", "smooth=much", "smooth"])
def test_rejects_malformed_weights(text):
    with pytest.raises(ValueError, match="objective.term_weights: got .* pixel, smooth, ssim"):
        create_objective("motionnet", term_weights=(text,))


@pytest.mark.parametrize(
    "flow, pairs, sides, target, message",
    [
        ("motionnet", 4, (8,), True, "the network predicts 4 flows for 4 frames"),
        ("motionnet", 1, (8,), True, "the network predicts 1 flows for 4 frames"),
        ("uf-tsn", 4, (8,), True, "the network predicts 4 flows for 4 frames"),
        ("jointflow3d", 4, (16,), True, "a flow of the size of the frames for each of 3"),
        ("jointflow3d", 3, (8,), True, r"predicts 3 of \(8, 8\)"),
        ("multiscale", 3, (16, 8, 4, 2, 1), True, "up to 4 sizes of flow"),
    ],
)
def test_rejects_networks_and_data_that_do_not_fit(flow, pairs, sides, target, message):
    objective = create_objective(flow, action=False)
    with pytest.raises(ValueError, match=f"objective.flow: .*{message}"):
        objective(predicted(1, pairs, sides), clip(1, 4, target=target))
