# Written by prunec from case.prune.

import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(
        self,
        in_channels,
        channels,
        expand_channels,
        stride=1,
        squeeze=False,
        shortcut=False,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1)
        self.squeeze = nn.Identity()
        if squeeze:
            self.squeeze = nn.Conv2d(channels, expand_channels, 1)
        self.expand = nn.Conv2d(expand_channels, channels, 1)
        self.shortcut = nn.Identity()
        if shortcut:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride=stride)

    def forward(self, x):
        y = F.relu(self.conv(x))
        y = self.squeeze(y)
        return self.expand(y) + self.shortcut(x)


class Residual(nn.Module):
    def __init__(self, channels, out_channels, residual=False):
        super().__init__()
        self.residual = residual
        self.norm = nn.BatchNorm2d(channels)
        self.fc = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x):
        fc = self.fc(self.norm(x))
        return x + fc if self.residual else fc


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            Block(3, 4, 4, shortcut=True),
            Block(4, 4, 4),
            Block(4, 6, 6, stride=2, shortcut=True),
            Block(6, 6, 2, squeeze=True),
            Block(6, 8, 3, stride=2, squeeze=True, shortcut=True),
        )
        self.tail = nn.Sequential(
            Residual(8, 8, residual=True), Residual(8, 5), Residual(5, 5, residual=True)
        )

    def forward(self, x):
        return self.tail(self.stages(x)).mean((2, 3))


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
