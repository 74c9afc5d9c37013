"""The networks by name. A new network is one file and one line in `MODELS`."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from afn_jax.models.actionflownet import ActionFlowNet
from afn_jax.models.baselines import FrameResNet
from afn_jax.models.contract import VideoNetwork
from afn_jax.models.hidden_two_stream import HiddenTemporal, HiddenTwoStream
from afn_jax.models.i3d import I3D
from afn_jax.models.jointflow3d import JointFlow3D
from afn_jax.models.motionnet import MotionNet
from afn_jax.models.representation_flow import RepresentationFlowNetwork
from afn_jax.models.streams import SpatialStream
from afn_jax.models.tvnet import TVNet
from afn_jax.models.two_frame import StackedNet, TwoFrameNet
from afn_jax.models.uf_tsn import UFTSN
from afn_jax.models.vgg16 import FrameVGG16, TwoStreamVGG16
from afn_jax.models.video_baselines import C3D, VideoResNet
from afn_jax.near_names import did_you_mean_or_all, unknown_name

_of = functools.partial
# TSN: three segments. I3D: 61 frames, which make 60 flows.
_tsn = dict(backbone="bn-inception", num_segments=3)
_i3d = dict(backbone="i3d", num_frames=61)

MODELS: dict[str, Callable[..., VideoNetwork]] = {
    # ActionFlowNet
    "actionflownet": ActionFlowNet,
    "flownet": _of(ActionFlowNet, classify=False),
    "actionflownet-2f": TwoFrameNet,
    "flownet-2f": _of(TwoFrameNet, classify=False),
    "resnet18-2f": _of(TwoFrameNet, predict_flow=False),
    "stacked-2f": StackedNet,
    # Hidden Two-Stream
    "motionnet": MotionNet,
    "motionnet-tiny": _of(MotionNet, encoder="tiny"),
    "hidden-branched": _of(MotionNet, classify=True),
    "hidden-temporal-vgg16": HiddenTemporal,
    "hidden-temporal-tsn": _of(HiddenTemporal, **_tsn, num_frames=33),
    "hidden-temporal-i3d": _of(HiddenTemporal, **_i3d),
    "hidden-two-stream-vgg16": HiddenTwoStream,
    "hidden-two-stream-tsn": _of(HiddenTwoStream, **_tsn, num_frames=33),
    "hidden-two-stream-i3d": _of(HiddenTwoStream, **_i3d),
    "spatial-vgg16": SpatialStream,
    "spatial-resnet152": _of(SpatialStream, backbone="resnet152"),
    "spatial-tsn": _of(SpatialStream, **_tsn, num_frames=3),
    "spatial-i3d": I3D,
    # UF-TSN
    "uf-tsn": UFTSN,
    "uf-tsn-temporal": _of(UFTSN, spatial_stream=False),
    "uf-tsn-flow": _of(UFTSN, spatial_stream=False, classify=False),
    # Representation Flow
    "repflow-resnet18": _of(RepresentationFlowNetwork, backbone="resnet18"),
    "repflow-resnet34": _of(RepresentationFlowNetwork, backbone="resnet34"),
    "repflow-resnet50": _of(RepresentationFlowNetwork, backbone="resnet50"),
    "repflow-r3d18": _of(RepresentationFlowNetwork, backbone="r3d18"),
    "repflow-r2plus1d18": _of(RepresentationFlowNetwork, backbone="r2plus1d18"),
    "repflow-r2plus1d50": _of(RepresentationFlowNetwork, backbone="r2plus1d50", num_frames=32),
    # Odabasi
    "jointflow3d": JointFlow3D,
    # Baselines
    "resnet18": FrameResNet,
    "resnet34": _of(FrameResNet, depth=34),
    "resnet50": _of(FrameResNet, depth=50),
    "resnet152": _of(FrameResNet, depth=152),
    "r3d18": VideoResNet,
    "r2plus1d18": _of(VideoResNet, convolution="2plus1d"),
    "c3d": C3D,
    "i3d": I3D,
    "vgg16": FrameVGG16,
    "two-stream-vgg16": TwoStreamVGG16,
    "tvnet": TVNet,
}


def list_models() -> list[str]:
    """Returns the names that `create_model` accepts."""
    return sorted(MODELS)


def model_fields(name: str) -> set[str]:
    """Returns the fields that `create_model` accepts for a network, besides `num_classes`.

    Raises:
        ValueError: for an unknown name; the message lists similar names.
    """
    if name not in MODELS:
        raise ValueError(unknown_name("model name", name, list_models()))
    model = MODELS[name]
    if isinstance(model, functools.partial):
        model = model.func
    return {field.name for field in dataclasses.fields(model)} - {"parent", "name", "num_classes"}


def create_model(name: str, *, num_classes: int, **overrides: Any) -> VideoNetwork:
    """Creates the network of that name; `overrides` replace the defaults of its fields.

    `model.apply(variables, frames, train=...)` returns an `afn_jax.types.Prediction`.

    Raises:
        ValueError: for an unknown name or field; the message lists similar names.
    """
    fields = model_fields(name)
    for field in overrides:
        if field not in fields:
            hint = did_you_mean_or_all(field, sorted(fields))
            raise ValueError(f"model {name!r} has no field {field!r}. {hint}")
    return MODELS[name](num_classes=num_classes, **overrides)


__all__ = ["MODELS", "VideoNetwork", "create_model", "list_models", "model_fields"]
