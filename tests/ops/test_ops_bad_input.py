"""Errors of every operator: they name the wrong argument and what is allowed."""

import jax
import numpy as np
import pytest

from afn_jax import ops


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


IMAGE, FLOW = zeros(4, 5, 3), zeros(4, 5, 2)
BYTES = IMAGE.astype(np.uint8)
FEATURES = dict(features1=IMAGE, features2=IMAGE)
KEY = dict(key=jax.random.key(0))
JITTER = dict(brightness=0.0, contrast=0.0, saturation=0.0)
GOOD = {
    "color_jitter": KEY | JITTER | dict(frames=zeros(2, 3, 4, 5, 3)),
    "cost_volume": FEATURES,
    "flow_to_rgb": dict(flow=FLOW),
    "gaussian_noise": KEY | dict(frames=IMAGE, std=1.0),
    "initial_params": dict(kernels="tvl1"),
    "median_filter": dict(x=zeros(4, 5), size=3),
    "normalize_flow": dict(flow=FLOW),
    "pixel_grid": dict(height=2, width=3),
    "representation_flow": FEATURES | dict(num_iterations=1),
    "resize_flow": dict(flow=FLOW, size=(2, 3)),
    "resize_mask": dict(mask=np.ones((4, 5), bool), size=(2, 3)),
    "tvl1_flow": dict(frame1=zeros(4, 5), frame2=zeros(4, 5)),
    "visibility_mask": dict(forward_flow=FLOW, backward_flow=FLOW),
    "warp": dict(image=IMAGE, flow=FLOW),
    "warp_mask": dict(flow=FLOW),
    "TVL1Config": dict(),
}
NOT_FLOW = r"it must be \[..., H, W, 2\] with the last axis \(x, y\) = \(right, down\)"


def with_params(**leaves):
    return dict(params=ops.RepresentationFlowParams(**leaves))


BAD = [
    ("TVL1Config", dict(lam=0.0), "lam is 0.0; pass a number above 0"),
    ("TVL1Config", dict(tau=-1.0), "tau is -1.0"),
    ("TVL1Config", dict(num_warps=0), "num_warps is 0; pass 1 or more"),
    ("TVL1Config", dict(scale_factor=1.0), "scale_factor is 1.0"),
    ("TVL1Config", dict(median_size=4), "median_size is 4; pass an odd number"),
    ("color_jitter", dict(frames=zeros(1, 1, 2, 2, 3, dtype=np.uint8)), "uint8; .* frames / 255.0"),
    ("color_jitter", dict(frames=IMAGE), r"frames has shape \(4, 5, 3\)"),
    ("cost_volume", dict(features2=zeros(4, 6, 3)), r"and features2 \(4, 6, 3\)"),
    ("cost_volume", dict(features1=zeros(2, 4, 5, 3)), "both must be the same"),
    ("cost_volume", dict(features1=BYTES), "features1 has dtype uint8; .* be float"),
    ("cost_volume", dict(features2=IMAGE.astype(np.int32)), "features2 has dtype int32"),
    ("cost_volume", dict(max_displacement=-1), "max_displacement is -1; pass 0 or more, in pixels"),
    ("cost_volume", dict.fromkeys(FEATURES, zeros(4, 5)), "with at least one channel"),
    ("cost_volume", dict.fromkeys(FEATURES, zeros(4, 5, 0)), "with at least one channel"),
    ("flow_to_rgb", dict(flow=IMAGE), r"flow has shape \(4, 5, 3\)"),
    ("gaussian_noise", dict(std=-1.0), "std is -1"),
    ("gaussian_noise", dict(frames=BYTES), "frames has dtype uint8"),
    ("initial_params", dict(kernels="scharr"), "kernels is 'scharr'"),
    ("median_filter", dict(x=zeros(4)), r"x has shape \(4,\); it must be \[..., H, W\]"),
    ("normalize_flow", dict(flow=zeros(4, 2)), NOT_FLOW),
    ("normalize_flow", dict(flow=IMAGE), NOT_FLOW),
    ("pixel_grid", dict(height=-1), "height and width are -1 and 3"),
    ("representation_flow", dict(features2=zeros(4, 5, 2)), r"and features2 \(4, 5, 2\)"),
    ("representation_flow", dict(features1=zeros(5)), r"features1 has shape \(5,\)"),
    ("representation_flow", dict(features2=BYTES), "features2 has dtype uint8; it must be float"),
    ("representation_flow", dict(num_iterations=-1), "num_iterations is -1; pass 0 or more"),
    ("representation_flow", dict(kernels="scharr"), 'is \'scharr\'; choose "tvl1" or "sobel"'),
    (
        "representation_flow",
        dict(remat="some"),
        "remat is 'some'; choose one of 'none', 'iteration', 'all'",
    ),
    (
        "representation_flow",
        dict(implementation="cuda"),
        "implementation is 'cuda'; choose one of 'auto', 'xla', 'pallas'",
    ),
    ("representation_flow", with_params(tau=np.ones(1)), r"params.tau has .*\(1,\); .* be \(\)"),
    (
        "representation_flow",
        with_params(divergence=np.ones((2, 3))),
        r"params.divergence has shape \(2, 3\); .* \(2, 2\)",
    ),
    (
        "representation_flow",
        with_params(image_gradient=np.ones((2, 3, 3))),
        r"kernels='tvl1' it must be \(2, 3\)",
    ),
    (
        "representation_flow",
        with_params(image_gradient=np.ones((2, 3))) | dict(kernels="sobel"),
        r"must be \(2, 3, 3\): start from initial_params\('sobel'\)",
    ),
    ("representation_flow", with_params(flow_gradient=np.ones((2, 3))), "params.flow_gradient has"),
    ("resize_flow", dict(flow=IMAGE), NOT_FLOW),
    ("resize_flow", dict(flow=zeros(0, 6, 2)), "the map to resize is"),
    ("resize_mask", dict(mask=zeros(4, 5)), "dtype float32.* mask > 0"),
    ("tvl1_flow", dict(frame2=zeros(4, 6)), r"\(4, 5\) and frame2 \(4, 6\)"),
    ("tvl1_flow", dict(frame1=zeros(4), frame2=zeros(4)), r"frame1 has shape \(4,\)"),
    ("tvl1_flow", dict(frame1=zeros(0, 5), frame2=zeros(0, 5)), "at least one pixel"),
    ("tvl1_flow", dict(frame1=BYTES, frame2=BYTES), "dtype uint8; .* frame1 / 255.0"),
    ("visibility_mask", dict(backward_flow=zeros(4, 6, 2)), r"and backward_flow \(4, 6, 2\)"),
    ("visibility_mask", dict(forward_flow=zeros(1, 4, 5, 2)), "both must be the same"),
    ("visibility_mask", dict(forward_flow=zeros(5, 2), backward_flow=zeros(5, 2)), r"\(5, 2\)"),
    ("visibility_mask", dict(forward_flow=IMAGE, backward_flow=IMAGE), r"\(4, 5, 3\)"),
    ("warp", dict(padding="reflect"), 'padding is \'reflect\'; choose "border" or "zeros"'),
    ("warp", dict(image=BYTES), "image has dtype uint8; .* image / 255.0"),
    ("warp", dict(flow=IMAGE), r"flow has shape \(4, 5, 3\)"),
    ("warp", dict(flow=zeros(4, 6, 2)), r"and flow \(4, 6, 2\)"),
    ("warp", dict(image=zeros(2, 4, 5, 3)), "same leading axes"),
    ("warp_mask", dict(flow=zeros(4, 5)), r"flow has shape \(4, 5\)"),
    *(("median_filter", dict(size=n), f"size is {n}; pass an odd number") for n in (-1, 0, 2, 4)),
    *(
        (name, dict(size=size), "size is .* pass")
        for name in ("resize_flow", "resize_mask")
        for size in ((0, 3), (2, -1))
    ),
    *(
        ("color_jitter", {name: amount}, f"{name} is {amount}; .* from 0 .* to 1")
        for name in JITTER
        for amount in (-0.1, 1.5)
    ),
    *(
        (name, {option: value}, f"{option} is {value}.* (positive|above 0)")
        for name, option in (("normalize_flow", "bound"), ("flow_to_rgb", "max_magnitude"))
        for value in (0.0, -1.0, np.nan)
    ),
]


def test_every_operator_is_covered():
    assert {*GOOD} == {*ops.__all__} - {"RepresentationFlowParams"}


@pytest.mark.parametrize("name", GOOD)
def test_rejects_bad_input(name, untyped):
    def trace(**change):
        arguments = GOOD[name] | change
        if name == "TVL1Config":
            return ops.TVL1Config(**arguments)
        return jax.eval_shape(lambda: getattr(ops, name)(**arguments))

    trace()
    changes = [(change, message) for of, change, message in BAD if of == name]
    assert changes
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            trace(**change)
