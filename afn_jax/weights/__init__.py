"""Loading published PyTorch weights into the networks of this library.

If the model is the published network with the same number of classes, `initialize_from(variables,
"resnet18-f37072fd.pth", "resnet18")` is enough. torchvision's files are at
https://download.pytorch.org/models/ under the names below. Other files load too if their keys are
those of torchvision after a prefix, such as "state_dict.module.backbone.", which is found and
reported: files of `torch.save`, which need PyTorch, or safetensors. `rename` replaces parts of
other names.

| architecture | trained on | file | model in this library |
|---|---|---|---|
| resnet18 | ImageNet | resnet18-f37072fd.pth | `FrameResNet(depth=18)` |
| resnet34 | ImageNet | resnet34-b627a593.pth | `FrameResNet(depth=34)` |
| resnet50 | ImageNet | resnet50-0676ba61.pth | `FrameResNet(depth=50)` |
| resnet101 | ImageNet | resnet101-63fe2227.pth | `FrameResNet(depth=101)` |
| resnet152 | ImageNet | resnet152-394f9c45.pth | `FrameResNet(depth=152)` |
| vgg16 | ImageNet | vgg16-397923af.pth | `FrameVGG16`, `TwoStreamVGG16` |
| r3d_18 | Kinetics-400 | r3d_18-b3b3357e.pth | `VideoResNet(convolution="3d")` |
| r2plus1d_18 | Kinetics-400 | r2plus1d_18-91a641e6.pth | `VideoResNet(convolution="2plus1d")` |
"""

from afn_jax.weights.adapters import adapt_input_channels, average_input_channels, inflate_to_3d
from afn_jax.weights.files import load_torch_state
from afn_jax.weights.loading import LoadReport, initialize_from, load_into
from afn_jax.weights.names import parse_renames, rename_names
from afn_jax.weights.torchvision import ARCHITECTURES, convert

__all__ = [
    "ARCHITECTURES",
    "LoadReport",
    "adapt_input_channels",
    "average_input_channels",
    "convert",
    "inflate_to_3d",
    "initialize_from",
    "load_into",
    "load_torch_state",
    "parse_renames",
    "rename_names",
]
