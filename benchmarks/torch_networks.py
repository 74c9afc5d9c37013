"""ActionFlowNet and R3D-18 in plain PyTorch, for comparing times. Clips are `[N, C, T, H, W]`."""

import torch
import torch.nn.functional as F
from torch import nn

TWOS, ONES = (2, 2, 2), (1, 1, 1)


def conv(channels, features, size, stride=ONES):
    padding = tuple(side // 2 for side in size)
    return nn.Conv3d(channels, features, size, stride, padding, bias=False)


class Block(nn.Module):
    def __init__(self, channels, features, stride):
        super().__init__()
        self.conv1 = conv(channels, features, (3, 3, 3), stride)
        self.norm1 = nn.BatchNorm3d(features)
        self.conv2 = conv(features, features, (3, 3, 3))
        self.norm2 = nn.BatchNorm3d(features)
        self.shortcut = nn.Identity()
        if channels != features or stride != ONES:
            self.shortcut = nn.Sequential(
                conv(channels, features, (1, 1, 1), stride), nn.BatchNorm3d(features)
            )

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """3D ResNet-18 that returns the outputs of the stem and of the four stages."""

    def __init__(self, pool, width=64):
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, width, (3, 7, 7), (1, 2, 2)), nn.BatchNorm3d(width), nn.ReLU()
        )
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if pool else nn.Identity()
        stages, channels = [], width
        for stage in range(4):
            features = width * 2**stage
            stride = ONES if stage == 0 else TWOS
            first = Block(channels, features, stride)
            stages.append(nn.Sequential(first, Block(features, features, ONES)))
            channels = features
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        outputs = [self.stem(x)]
        x = self.pool(outputs[0])
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


class R3D18(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.encoder = Encoder(pool=False)
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, frames):
        return self.classifier(self.encoder(frames)[-1].mean((2, 3, 4))), None


class ActionFlowNet(nn.Module):
    """ActionFlowNet: the action, and one flow per frame at a quarter of its size."""

    def __init__(self, num_classes):
        super().__init__()
        self.encoder = Encoder(pool=True)
        self.deconvs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 512
        for features, skip in ((256, 256), (128, 128), (64, 64)):
            self.deconvs.append(nn.ConvTranspose3d(channels, features, 4, 2, 1, bias=False))
            self.norms.append(nn.BatchNorm3d(features))
            channels = features + skip
        self.flow = nn.Conv3d(channels, 2, 3, padding=1)
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, frames):
        features = self.encoder(frames)
        x = features[4]
        for deconv, norm, skip in zip(self.deconvs, self.norms, features[3:0:-1], strict=True):
            x = F.leaky_relu(norm(deconv(x)), 0.1)
            x = x[:, :, : skip.shape[2], : skip.shape[3], : skip.shape[4]]
            x = torch.cat([x, skip], 1)
        pooled = F.dropout(features[4].mean((2, 3, 4)), 0.5, self.training)
        return self.classifier(pooled), self.flow(x)
