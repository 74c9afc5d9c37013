"""torchvision's networks in plain PyTorch, at any width, with its names of parameters and layers.

Written from the papers and from torchvision's list of parameter names, for the tests of the import.
"""

import torch
from torch import nn

SIZES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}


class Block(nn.Module):
    """Block of the image networks: two 3x3 convolutions, or 1x1, 3x3 and 1x1 to 4x the width."""

    def __init__(self, inputs, features, stride, bottleneck):
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = [inputs] + [features] * len(kernels)
        if bottleneck:
            widths[-1] = 4 * features
        strided = 2 if bottleneck else 1  # which convolution has the stride
        self.count = len(kernels)
        for i, kernel in enumerate(kernels, start=1):
            step = stride if i == strided else 1
            conv = nn.Conv2d(widths[i - 1], widths[i], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"bn{i}", nn.BatchNorm2d(widths[i]))
        self.downsample = None
        if stride > 1 or inputs != widths[-1]:
            conv = nn.Conv2d(inputs, widths[-1], 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(widths[-1]))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    """ResNet on frames `[batch, 3, H, W]`."""

    def __init__(self, depth, width, classes):
        super().__init__()
        bottleneck = depth >= 50
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, size in enumerate(SIZES[depth]):
            blocks = []
            for block in range(size):
                stride = 2 if stage and not block else 1
                blocks.append(Block(inputs, width * 2**stage, stride, bottleneck))
                inputs = width * 2**stage * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def conv3d(inputs, features, middle, stride):
    """A 3x3x3 convolution, or its factors if their middle channels are given."""
    if middle is None:
        return nn.Conv3d(inputs, features, 3, stride, 1, bias=False)
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(middle, features, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class VideoBlock(nn.Module):
    def __init__(self, inputs, features, stride, factorize):
        super().__init__()
        middle = None
        if factorize:
            middle = inputs * features * 27 // (inputs * 9 + features * 3)
        self.conv1 = nn.Sequential(
            conv3d(inputs, features, middle, stride), nn.BatchNorm3d(features), nn.ReLU()
        )
        self.conv2 = nn.Sequential(conv3d(features, features, middle, 1), nn.BatchNorm3d(features))
        self.downsample = None
        if stride > 1 or inputs != features:
            conv = nn.Conv3d(inputs, features, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(features))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return (self.conv2(self.conv1(x)) + shortcut).relu()


class VideoResNet(nn.Module):
    """3D ResNet on clips `[batch, 3, time, H, W]`."""

    def __init__(self, factorize, width, classes):
        super().__init__()
        if factorize:
            middle = 45 * width // 64
            self.stem = nn.Sequential(
                nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
                nn.BatchNorm3d(middle),
                nn.ReLU(),
                nn.Conv3d(middle, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(),
            )
        else:
            self.stem = nn.Sequential(
                nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(),
            )
        inputs = width
        for stage in range(4):
            blocks = []
            for block in range(2):
                features, stride = width * 2**stage, 2 if stage and not block else 1
                blocks.append(VideoBlock(inputs, features, stride, factorize))
                inputs = features
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.fc(x.mean((2, 3, 4)))


class VGG16(nn.Module):
    """VGG-16 on frames `[batch, channels, H, W]`."""

    def __init__(self, width, classes):
        super().__init__()
        layers, inputs = [], 3
        for features, count in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, features * width, 3, padding=1), nn.ReLU()]
                inputs = features * width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        hidden = 64 * width
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 49, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (7, 7))
        return self.classifier(x.flatten(1))


def make(architecture, width, classes):
    """Returns a network in eval mode with random parameters and running statistics."""
    network = {
        "r3d_18": lambda: VideoResNet(False, width, classes),
        "r2plus1d_18": lambda: VideoResNet(True, width, classes),
        "vgg16": lambda: VGG16(width, classes),
    }.get(architecture) or (lambda: ResNet(int(architecture[len("resnet") :]), width, classes))
    generator = torch.Generator().manual_seed(0)
    network = network()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.uniform_(0.3, 0.9, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()
