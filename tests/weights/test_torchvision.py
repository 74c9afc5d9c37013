"""Networks with converted weights give the same logits as in PyTorch, for each architecture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.baselines import FrameResNet
from afn_jax.models.vgg16 import FrameVGG16
from afn_jax.models.video_baselines import VideoResNet
from afn_jax.weights import ARCHITECTURES, convert, initialize_from

torch = pytest.importorskip("torch")
from tests.weights.torch_networks import make  # noqa: E402, needs torch

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
CLASSES = 5
NETWORKS = {
    "resnet18": FrameResNet,
    "resnet34": FrameResNet,
    "resnet50": FrameResNet,
    "resnet152": FrameResNet,
    "vgg16": FrameVGG16,
    "r3d_18": VideoResNet,
    "r2plus1d_18": VideoResNet,
}


def model_and_shapes(architecture, width, clip_shape):
    fields = {}
    if architecture.startswith("resnet"):
        fields["depth"] = int(architecture[len("resnet") :])
    if architecture == "r2plus1d_18":
        fields["convolution"] = "2plus1d"
    model = NETWORKS[architecture](CLASSES, width=width, **fields)
    clip = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
    return model, jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(a, marks=() if a == "resnet18" else pytest.mark.slow) for a in NETWORKS],
)
def test_same_logits_as_pytorch(architecture, tmp_path):
    is_video = architecture in ("r3d_18", "r2plus1d_18")
    network = make(architecture, 4, CLASSES)
    torch.save(network.state_dict(), tmp_path / "weights.pth")

    # The size is odd to reveal paddings and strides that are off by one pixel. VGG's last map is
    # 3 x 2, because 1 x 1 would not reveal a wrong order of rows, columns and channels.
    size = (97, 70) if architecture == "vgg16" else (45, 38)
    shape = (2, 5 if is_video else 2, *size, 3)
    frames = np.random.default_rng(0).random(shape, np.float32)
    mean, std = KINETICS if is_video else IMAGENET
    normalized = torch.tensor((frames - np.float32(mean)) / np.float32(std))
    with torch.no_grad():
        if is_video:
            expected = network(normalized.permute(0, 4, 1, 2, 3)).numpy()
        else:
            images = normalized.flatten(0, 1).permute(0, 3, 1, 2)
            expected = network(images).reshape(2, 2, CLASSES).mean(1).numpy()

    model, shapes = model_and_shapes(architecture, 4, frames.shape)
    variables, report = initialize_from(shapes, tmp_path / "weights.pth", architecture)
    assert len(report.loaded) == len(jax.tree.leaves(shapes))
    assert not (report.adapted or report.kept or report.unused or report.outside)
    logits = model.apply(variables, jnp.asarray(frames), train=False).logits
    assert np.abs(expected).max() > 0.1  # much larger than the tolerance
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("architecture", ["resnet18", "vgg16", "r2plus1d_18"])
def test_full_width_has_the_published_shapes(architecture):
    """Zeros with torchvision's shapes, for 1000 or 400 classes, fit the network at full width."""
    with torch.device("meta"):
        network = make(architecture, 64, CLASSES)
    state = {
        key: np.broadcast_to(np.float32(0), tuple(value.shape))
        for key, value in network.state_dict().items()
    }
    converted = convert(state, architecture)
    clip_shape = (1, 2, 64, 64, 3)
    _, shapes = model_and_shapes(architecture, 64, clip_shape)
    if architecture == "vgg16":
        shapes = {"params": shapes["params"]["spatial"]}
    assert jax.tree.map(np.shape, converted) == jax.tree.map(np.shape, shapes)


def test_rejects_a_wrong_architecture():
    state = {key: value.numpy() for key, value in make("resnet18", 2, 3).state_dict().items()}
    with pytest.raises(ValueError, match="not those of r3d_18(.|\n)*missing: stem.0.weight"):
        convert(state, "r3d_18")
    with pytest.raises(ValueError, match="missing: layer1.2.conv1.weight"):
        convert(state, "resnet34")
    with pytest.raises(ValueError, match="Did you mean resnet18"):
        convert(state, "resnet-18")
    assert set(NETWORKS) <= set(ARCHITECTURES)


def test_rejects_unknown_and_missing_names():
    state = {key: value.numpy() for key, value in make("resnet18", 2, 3).state_dict().items()}
    exact = convert(state, "resnet18")
    without_counters = {k: v for k, v in state.items() if "num_batches_tracked" not in k}
    jax.tree.map(np.testing.assert_array_equal, exact, convert(without_counters, "resnet18"))
    more = state | {"head.weight": np.zeros(1)}
    with pytest.raises(ValueError, match="unknown: head.weight"):
        convert(more, "resnet18")
    convert(more, "resnet18", ignore=("head.",))
    fewer = {key: value for key, value in state.items() if key != "layer3.1.bn2.running_var"}
    with pytest.raises(ValueError, match="missing: layer3.1.bn2.running_var\n *unknown: none"):
        convert(fewer, "resnet18")
