"""Parameter counts that papers and libraries publish, or that are derived from layer tables.

They are compared with `parameter_trees.json`, which `test_models.py` compares with the networks.
"""

import json
from pathlib import Path

from afn_jax.nn.bn_inception import BLOCKS

TREES = json.loads(Path(__file__).with_name("parameter_trees.json").read_text())
SIZES = {name: tree["parameters"] for name, tree in TREES.items()}
CLASSES = 101  # of every network in the table


def of_101_classes(published, features, classes=1000):
    """Replaces the classifier, which has `features` inputs, by one for 101 classes."""
    return published + (CLASSES - classes) * (features + 1)


# torchvision's networks, with the 1000 classes of ImageNet or the 400 of Kinetics.
RESNET18 = of_101_classes(11_689_512, 512)
RESNET34 = of_101_classes(21_797_672, 512)
RESNET50 = of_101_classes(25_557_032, 2048)
RESNET152 = of_101_classes(60_192_808, 2048)
VGG16 = of_101_classes(138_357_544, 4096)
R3D18 = of_101_classes(33_371_472, 512, 400)
R2PLUS1D18 = of_101_classes(31_505_325, 512, 400)
# DeepMind's network, with scale and offset in each batch normalization.
I3D = 12_287_264 + 1025 * CLASSES
# Caffe's network without the biases before its batch normalizations.
BN_INCEPTION = of_101_classes(11_295_240 - 10_016, 1024)
# 169.3 MB: the paper's "model footprint" of 170M. 960 + 80 biases belong to deconvolutions.
MOTIONNET = 42_319_860
STACK = 17  # channels of ten flows (x and y) minus those of RGB


def test_baselines():
    assert SIZES["resnet18"] == RESNET18 and SIZES["resnet34"] == RESNET34
    assert SIZES["resnet50"] == RESNET50 and SIZES["resnet152"] == RESNET152
    assert SIZES["r3d18"] == R3D18 and SIZES["r2plus1d18"] == R2PLUS1D18
    assert SIZES["vgg16"] == VGG16 and SIZES["i3d"] == I3D
    assert SIZES["two-stream-vgg16"] == 2 * VGG16 + STACK * 9 * 64
    # Convolutions, fc6 of 512 * 16 features, fc7, classifier.
    assert SIZES["c3d"] == 27_655_936 + 8193 * 4096 + 4097 * 4096 + 4097 * CLASSES


def test_bn_inception():
    biases = 64 + 64 + 192
    for one, (reduce3, three), (reduce5, five), pool in BLOCKS.values():
        biases += one + reduce3 + three + reduce5 + 2 * five + pool
    assert biases == 10_016
    assert SIZES["spatial-tsn"] == BN_INCEPTION


def test_actionflownet():
    """The shapes of the paper: R3D-18, and three transposed convolutions of 4x4x4 with norms."""
    classifier = 513 * CLASSES
    decoder = 64 * (512 * 256 + (256 + 256) * 128 + (128 + 128) * 64) + 2 * (256 + 128 + 64)
    assert SIZES["actionflownet"] == R3D18 + decoder + 27 * (64 + 64) * 2 + 2
    assert SIZES["flownet"] == SIZES["actionflownet"] - classifier


def test_two_frames():
    classifier = 513 * CLASSES
    # Three more input channels. Each level of the decoder: transposed 4x4 convolutions (and a
    # norm), of features and of flow; 3x3 to flow.
    encoder = RESNET18 - classifier + 3 * 64 * 7 * 7
    decoder = (
        (9 * 512 * 2 + 2)
        + (16 * 512 * 256 + 2 * 256) + (16 * 2 * 2) + (9 * (256 + 256 + 2) * 2 + 2)
        + (16 * 514 * 128 + 2 * 128) + (16 * 2 * 2) + (9 * (128 + 128 + 2) * 2 + 2)
        + (16 * 258 * 64 + 2 * 64) + (16 * 2 * 2) + (9 * (64 + 64 + 2) * 2 + 2)
    )  # fmt: skip
    # A ResNet-18 without its stem, with a 1x1 shortcut (and norm) from 2 to 64 channels.
    second = encoder - (6 * 64 * 7 * 7 + 2 * 64) - 9 * 62 * 64 + (2 * 64 + 2 * 64)
    assert SIZES["flownet-2f"] == encoder + decoder
    assert SIZES["resnet18-2f"] == encoder + classifier
    assert SIZES["actionflownet-2f"] == encoder + decoder + classifier
    assert SIZES["stacked-2f"] == encoder + decoder + second + classifier
    # Section 4.3: ActionFlowNet-2F has "approximately half the number of parameters".
    assert 0.5 < SIZES["actionflownet-2f"] / SIZES["stacked-2f"] < 0.6


def test_hidden_two_stream():
    assert SIZES["motionnet"] == MOTIONNET
    # Branching adds a linear classifier of 1024 features.
    assert SIZES["hidden-branched"] == MOTIONNET + 1025 * CLASSES
    assert SIZES["spatial-vgg16"] == VGG16 and SIZES["spatial-resnet152"] == RESNET152
    assert SIZES["hidden-temporal-vgg16"] == MOTIONNET + VGG16 + STACK * 9 * 64
    assert SIZES["hidden-temporal-tsn"] == MOTIONNET + BN_INCEPTION + STACK * 49 * 64
    assert (
        SIZES["hidden-temporal-i3d"] == MOTIONNET + I3D - 343 * 64
    )  # two channels instead of three
    for backbone, spatial in (("vgg16", VGG16), ("tsn", BN_INCEPTION), ("i3d", I3D)):
        both = SIZES[f"hidden-temporal-{backbone}"] + spatial
        assert SIZES[f"hidden-two-stream-{backbone}"] == both


def test_uf_tsn():
    """A 3x3 convolution has 9 * in * out weights and `out` biases."""
    estimator = 0
    for before, width in ((3, 16), (16, 32), (32, 64), (64, 96)):
        for channels in (before, width, width):
            estimator += 9 * channels * width + width
    for channels in (3, 16, 32, 64, 96):
        seen = channels + 2 + 7 * 7  # features, upsampled flow, costs within 3 pixels
        for width in (128, 128, 96, 64, 32, 2):
            estimator += 9 * seen * width + width
            seen += width
    assert f"{estimator / 1e6:.1f}" == "5.7"  # Table 3
    assert SIZES["uf-tsn-flow"] == estimator
    assert SIZES["uf-tsn-temporal"] == estimator + RESNET18 + STACK * 49 * 64
    assert SIZES["uf-tsn"] == SIZES["uf-tsn-temporal"] + RESNET152


def test_tvnet():
    # "0.1M" in UF-TSN's Table 1: u0, and 2 x 2 pairs of taps per component and iteration.
    flow = 2 * 224 * 224 + 50 * 2 * (4 + 4)
    assert SIZES["tvnet"] == flow + BN_INCEPTION + STACK * 49 * 64


def test_jointflow3d():
    # R3D-18 without its projections and its 3x7x7 stem on RGB.
    projections = 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512)
    action = R3D18 - projections - 3 * 49 * 3 * 64 + 7 * 49 * 2 * 64
    encoder = 27 * (1 * 16 + 16 * 32 + 32 * 64 + 64 * 128) + 2 * (16 + 32 + 64 + 128)
    # Transposed 3x4x4 kernels; the input is the previous output and the skip connection.
    decoder = 48 * (128 * 64 + 128 * 32 + 64 * 16) + 2 * (64 + 32 + 16) + 27 * 32 * 2 + 2
    assert SIZES["jointflow3d"] == action + encoder + decoder


def flow_layer(features):
    """1x1 to 32, 3x3 from 64, tau, lambda, theta and two pairs of divergence weights."""
    return 32 * features + 9 * 64 * features + 3 + 4


def test_representation_flow():
    assert SIZES["repflow-resnet18"] == RESNET18 + flow_layer(128)
    assert SIZES["repflow-resnet34"] == RESNET34 + flow_layer(128)
    assert SIZES["repflow-resnet50"] == RESNET50 + flow_layer(512)
    # torchvision's R3D-18 has a stem of 3x7x7.
    assert SIZES["repflow-r3d18"] == R3D18 + (7 - 3) * 49 * 3 * 64 + flow_layer(128)

    def conv(channels, features, size=3):
        """1 x size x size, norm, size x 1 x 1, norm."""
        return size**2 * channels * features + size * features**2 + 4 * features

    count = conv(3, 64, 7) + 4 * conv(64, 64) + 513 * CLASSES
    for channels in (64, 128, 256):
        features = 2 * channels
        count += conv(channels, features) + 3 * conv(features, features)
        count += channels * features + 2 * features  # shortcut
    assert SIZES["repflow-r2plus1d18"] == count + flow_layer(128)

    # ResNet-50 with a 7x7x7 stem, and 3x1x1 instead of 1x1x1 in the temporal blocks.
    count = RESNET50 + 6 * 49 * 3 * 64
    for channels, features, rest in ((64, 64, 1), (256, 128, 2), (512, 256, 3), (1024, 512, 1)):
        count += 2 * (channels * features + rest * 4 * features * features)
    assert SIZES["repflow-r2plus1d50"] == count + flow_layer(512)
