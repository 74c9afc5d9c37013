"""Errors of every loss: they name the wrong argument and what is allowed."""

import jax
import numpy as np
import pytest

from afn_jax import losses
from afn_jax.losses.motionnet import CAFFE_JOINT


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


IMAGE, FLOW = zeros(4, 5, 3), zeros(4, 5, 2)
LABELED = dict(logits=zeros(2, 4), labels=zeros(2, dtype=np.int32))
CLIP_FLOW, GRAY = zeros(2, 3, 4, 5, 2), zeros(2, 3, 4, 5, 1)
LABELS_MESSAGE = r"labels must be \(2,\), one 0-based class"
WEIGHTS = losses.MotionNetWeights((1.0, 0.5), (2.0, 3.0), (7.0, 11.0))
PAIR = dict(image1=IMAGE, image2=IMAGE)
GOOD = {
    "census_loss": PAIR,
    "charbonnier": dict(x=FLOW),
    "cross_entropy": LABELED,
    "edge_aware_smoothness_loss": dict(flow=FLOW, image=IMAGE),
    "endpoint_error": dict(flow=FLOW, target=FLOW),
    "flow_loss": dict(flow=CLIP_FLOW, target=CLIP_FLOW),
    "jointflow3d_loss": LABELED | dict(previous=GRAY, current=GRAY, flows=CLIP_FLOW),
    "l1_loss": dict(image=IMAGE, reconstruction=IMAGE),
    "masked_mean": dict(values=zeros(4, 5)),
    "motionnet_loss": dict(
        frames=zeros(2, 3, 8, 8, 3), flows=[zeros(2, 2, 8, 8, 2), zeros(2, 2, 4, 4, 2)]
    ),
    "multiscale_endpoint_error": dict(
        flows=[FLOW, zeros(2, 3, 2)], target=FLOW, weights=(1.0, 1.0)
    ),
    "photometric_loss": dict(image=IMAGE, reconstruction=IMAGE),
    "smoothness_loss": dict(flow=FLOW),
    "ssim": PAIR,
    "ssim_loss": PAIR,
    "uf_tsn_loss": PAIR | dict(flows=[FLOW, zeros(2, 3, 2)], backward_flows=[FLOW, zeros(2, 3, 2)]),
}
BAD = [
    ("census_loss", dict(patch_size=4), "patch_size is 4; pass an odd number"),
    ("census_loss", dict(patch_size=0), "patch_size is 0"),
    ("census_loss", dict(patch_size=-1), "patch_size is -1"),
    ("cross_entropy", dict(labels=np.eye(4, dtype=np.int32)[:2]), LABELS_MESSAGE),
    ("edge_aware_smoothness_loss", dict(image=zeros(4, 6, 3)), "image has shape .* same .*H, W"),
    ("edge_aware_smoothness_loss", dict(image=zeros(5, 3)), "image has shape .* same .*H, W"),
    ("edge_aware_smoothness_loss", dict(edge_weight=-0.1), "edge_weight is -0.1; pass 0 or more"),
    ("edge_aware_smoothness_loss", dict(edge_weight=np.nan), "edge_weight is nan"),
    ("endpoint_error", dict(target=FLOW[:1]), "flow has shape .* and target .* resize_flow"),
    ("endpoint_error", dict(target=IMAGE), "flow has shape .* and target .* resize_flow"),
    ("endpoint_error", dict(flow=IMAGE, target=IMAGE), "flow has shape .* resize_flow"),
    ("flow_loss", dict(target=zeros(2, 3, 4, 6, 2)), "flow has shape .* resize_flow"),
    ("flow_loss", dict(mask=np.ones((2, 3, 4), bool)), r"mask has shape \(2, 3, 4\)"),
    ("jointflow3d_loss", dict(previous=zeros(2, 3, 4, 6, 1)), "previous has shape .* and current"),
    ("jointflow3d_loss", dict(current=IMAGE), r"same \[batch, triplets, H, W, 1\]"),
    (
        "jointflow3d_loss",
        dict(previous=zeros(2, 3, 4, 5, 3), current=zeros(2, 3, 4, 5, 3)),
        r"the same \[batch, triplets, H, W, 1\], gray",
    ),
    ("jointflow3d_loss", dict(previous=GRAY.astype(int), current=GRAY), "dtype int64; .*float"),
    ("jointflow3d_loss", dict(flows=zeros(2, 3, 4, 6, 2)), "one flow per triplet"),
    ("jointflow3d_loss", dict(flows=zeros(2, 3, 4, 5, 3)), r"must be \(2, 3, 4, 5, 2\)"),
    ("jointflow3d_loss", dict(labels=zeros(3, dtype=np.int32)), LABELS_MESSAGE),
    ("jointflow3d_loss", dict(logits=zeros(3, 4)), "the batches differ"),
    ("jointflow3d_loss", dict(p=0.0), "p is 0.0; pass a number above 0: the exponent is 1 / p"),
    ("jointflow3d_loss", dict(p=-2.5), "p is -2.5"),
    ("jointflow3d_loss", dict(p=np.nan), "p is nan"),
    ("masked_mean", dict(mask=np.ones((4, 4), bool)), r"mask has .* values have shape \(4, 5\)"),
    ("masked_mean", dict(mask=zeros(4, 5)), "mask has shape .* be bool"),
    ("motionnet_loss", dict(frames=zeros(3, 8, 8, 3)), r"frames has shape \(3, 8, 8, 3\)"),
    ("motionnet_loss", dict(frames=zeros(2, 1, 8, 8, 3)), "with two or more frames"),
    ("motionnet_loss", dict(frames=zeros(2, 3, 8, 8, 1)), r"must be \[batch, time, H, W, 3\]"),
    ("motionnet_loss", dict(frames=zeros(2, 3, 8, 8, 3, dtype=np.uint8)), "dtype uint8"),
    ("motionnet_loss", dict(frames=zeros(0, 3, 8, 8, 3)), "frames has an empty batch"),
    ("motionnet_loss", dict(flows=[]), "flows is empty; pass one or more scales, finest first"),
    ("motionnet_loss", dict(flows=[zeros(2, 3, 4, 4, 2)]), r"each must be \[2, 2, h, w, 2\]"),
    ("motionnet_loss", dict(flows=[zeros(1, 2, 4, 4, 2)]), "flows has a map of shape"),
    ("motionnet_loss", dict(flows=[zeros(2, 2, 4, 4, 3)]), "flows has a map of shape"),
    ("motionnet_loss", dict(flows=[zeros(2, 4, 4, 2)]), "flows has a map of shape"),
    ("motionnet_loss", dict(flows=[zeros(2, 2, 2, 2, 2)] * 6), r"\[5, 5, 5\] values .* 6 scales"),
    ("motionnet_loss", dict(weights=CAFFE_JOINT), r"weights has \[5, 5, 5\] values and flows 2"),
    ("motionnet_loss", dict(weights=WEIGHTS._replace(ssim=(1.0,))), r"weights has \[2, 2, 1\]"),
    ("motionnet_loss", dict(reduction="mean"), 'is \'mean\'; choose "paper" or "caffe"'),
    ("motionnet_loss", dict(normalization="l2"), 'is \'l2\'; choose "lrn" or "none"'),
    ("multiscale_endpoint_error", dict(weights=(1.0,)), "flows has 2 scales and weights 1 values"),
    ("multiscale_endpoint_error", dict(flows=[], weights=()), "flows has 0 scales"),
    ("multiscale_endpoint_error", dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
    ("multiscale_endpoint_error", dict(target=zeros(2, 4, 5, 2)), "same leading axes"),
    ("ssim", dict.fromkeys(PAIR, zeros(0, 5, 3)), "the image is 0 x 5"),
    ("ssim", dict(window_size=0), "window_size 0 and stride 8; all must be 1 or more"),
    ("ssim", dict(stride=-1), "stride -1; all must be 1 or more"),
    ("ssim", dict(c1=0.0), "c1 is 0.0 and c2 0.001; both must be above 0"),
    ("ssim", dict(c2=-1.0), "c1 is 0.0001 and c2 -1.0"),
    ("ssim", dict(c2=np.nan), "both must be above 0"),
    ("ssim", dict(window="box"), 'window is \'box\'; choose "uniform" or "gaussian"'),
    ("ssim", dict(edge="same"), 'edge is \'same\'; choose "inside" or "partial"'),
    ("ssim_loss", dict.fromkeys(PAIR, zeros(4, 0, 3)), "the image is 4 x 0"),
    ("uf_tsn_loss", dict(image1=zeros(9, 7, 3)), r"image1 has shape \(9, 7, 3\) and image2"),
    ("uf_tsn_loss", dict.fromkeys(PAIR, zeros(4, 5, 1)), r"must be the same \[..., H, W, 3\]"),
    ("uf_tsn_loss", dict(image1=IMAGE.astype(np.uint8)), "image1 has dtype uint8"),
    ("uf_tsn_loss", dict(flows=[]), "flows has 0 levels and backward_flows 2"),
    ("uf_tsn_loss", dict(backward_flows=[FLOW]), "2 levels and backward_flows 1"),
    ("uf_tsn_loss", dict(level_weights=(1.0,)), "level_weights has 1 values and flows 2 levels"),
    ("uf_tsn_loss", dict(flows=[IMAGE, IMAGE]), r"a map of shape \(4, 5, 3\)"),
    ("uf_tsn_loss", dict(flows=[zeros(2, 4, 5, 2)] * 2), "the same leading axes"),
    ("uf_tsn_loss", dict(backward_flows=[zeros(5, 2)] * 2), r"\[..., h, w, 2\]"),
    *(
        ("census_loss", dict.fromkeys(PAIR, zeros(4, 5, channels)), f"have {channels} channels")
        for channels in (0, 2, 4)
    ),
    *(
        ("cross_entropy", dict(label_smoothing=share), f"label_smoothing is {share}")
        for share in (-0.1, 1.0, np.nan)
    ),
    *(
        (name, {constant: value}, f"{constant} (is )?{value}.*both must be above 0")
        for name in ("charbonnier", "photometric_loss", "smoothness_loss", "jointflow3d_loss")
        for constant in ("alpha", "epsilon")
        for value in (0.0, -1.0, np.nan)
        if (name, constant) != ("jointflow3d_loss", "alpha")
    ),
    *(
        (name, change, message)
        for name in ("smoothness_loss", "edge_aware_smoothness_loss")
        for change, message in (
            (dict(flow=IMAGE), r"flow has shape \(4, 5, 3\)"),
            (dict(flow=zeros(5, 2)), r"must be \[..., H, W, 2\]"),
            (dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
            (dict(mask=zeros(4, 5)), r"dtype float32; it must be \(4, 5\) of bool"),
        )
    ),
    *(
        (name, dict(zip(GOOD[name], images, strict=True)) | options, message)
        for name in ("photometric_loss", "l1_loss", "census_loss", "ssim")
        for images, options, message in (
            ((zeros(4, 6, 3), IMAGE), {}, r"shapes \(4, 6, 3\) and \(4, 5, 3\)"),
            ((IMAGE, zeros(4, 5, 1)), {}, r"same \[..., H, W, C\]"),
            ((zeros(4, 5), zeros(4, 5)), {}, r"must be the same \[..., H, W, C\]"),
            ((IMAGE.astype(np.uint8), IMAGE), {}, "image1 has dtype uint8; .* / 255.0"),
            ((IMAGE, IMAGE.astype(np.int32)), {}, "image2 has dtype int32"),
            ((IMAGE, IMAGE), dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
            ((IMAGE, IMAGE), dict(mask=np.ones((4, 5, 1), bool)), r"mask has shape \(4, 5, 1\)"),
            ((IMAGE, IMAGE), dict(mask=zeros(4, 5)), r"dtype float32; .* \(4, 5\) of bool"),
        )
        if not (name == "ssim" and options)
    ),
]


def test_every_loss_is_covered():
    assert {*GOOD} == {*losses.__all__} - {"MotionNetWeights", "effective_weights"}


@pytest.mark.parametrize("name", GOOD)
def test_rejects_bad_input(name, untyped):
    def trace(**change):
        return jax.eval_shape(lambda: getattr(losses, name)(**GOOD[name] | change))

    trace()
    changes = [(change, message) for of, change, message in BAD if of == name]
    assert changes
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            trace(**change)
