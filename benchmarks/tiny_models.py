"""The smallest sensible form of every network, for checks of all of them."""

from typing import Any

from afn_jax.models import VideoNetwork, create_model
from afn_jax.ops import TVL1Config

CLASSES = 5
_FLOW_LAYER = dict(channels=4, num_iterations=2)
_SNIPPETS = dict(num_frames=6)  # of three segments, two frames each

OPTIONS: dict[str, dict[str, Any]] = {
    "actionflownet": dict(num_frames=4),
    "flownet": dict(num_frames=4),
    "actionflownet-2f": dict(num_frames=3),
    "flownet-2f": dict(num_frames=3),
    "resnet18-2f": dict(num_frames=3),
    "stacked-2f": dict(num_frames=2),
    "motionnet": dict(num_frames=3),
    "motionnet-tiny": dict(num_frames=3),
    "hidden-branched": dict(num_frames=3),
    "hidden-temporal-vgg16": dict(num_frames=3),
    "hidden-temporal-tsn": _SNIPPETS,
    "hidden-temporal-i3d": dict(num_frames=9),
    "hidden-two-stream-vgg16": dict(num_frames=3),
    "hidden-two-stream-tsn": _SNIPPETS,
    "hidden-two-stream-i3d": dict(num_frames=9),
    "spatial-tsn": dict(num_frames=3),
    "spatial-i3d": dict(num_frames=8),
    "uf-tsn": dict(num_frames=3, spatial_depth=18),
    "uf-tsn-temporal": dict(num_frames=3),
    "uf-tsn-flow": dict(num_frames=3),
    "repflow-resnet18": dict(num_frames=4, **_FLOW_LAYER),
    "repflow-resnet34": dict(num_frames=4, **_FLOW_LAYER),
    "repflow-resnet50": dict(num_frames=4, **_FLOW_LAYER),
    "repflow-r3d18": dict(num_frames=8, **_FLOW_LAYER),
    "repflow-r2plus1d18": dict(num_frames=8, **_FLOW_LAYER),
    "repflow-r2plus1d50": dict(num_frames=8, **_FLOW_LAYER),
    "jointflow3d": dict(num_frames=12),
    "resnet18": dict(num_frames=3),
    "r3d18": dict(num_frames=4),
    "r2plus1d18": dict(num_frames=4),
    "c3d": dict(num_frames=8),
    "i3d": dict(num_frames=8),
    "two-stream-vgg16": dict(
        num_frames=3, tvl1=TVL1Config(num_scales=1, num_warps=1, num_iterations=2)
    ),
    "tvnet": dict(num_frames=3, num_iterations=2),
}


def tiny_model(name: str) -> VideoNetwork:
    """Creates a network of `list_models()` with few channels, frames and iterations."""
    return create_model(name, num_classes=CLASSES, width=4, **OPTIONS.get(name, {}))
