"""Blocks with and without a shortcut, a residual addition and a squeeze: one class with options."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inner, width, stride=1, squeeze=0):
        super().__init__()
        self.conv = nn.Conv2d(inner, width, 3, stride, 1)
        self.squeeze = nn.Conv2d(width, squeeze, 1) if squeeze else None
        self.expand = nn.Conv2d(squeeze or width, width, 1)
        self.shortcut = nn.Conv2d(inner, width, 1, stride) if inner != width else nn.Identity()

    def forward(self, x):
        y = self.conv(x).relu()
        if self.squeeze is not None:
            y = self.squeeze(y)
        return self.expand(y) + self.shortcut(x)


class Residual(nn.Module):
    def __init__(self, width, out, skips):
        super().__init__()
        self.norm, self.fc, self.skips = nn.BatchNorm2d(width), nn.Conv2d(width, out, 1), skips

    def forward(self, x):
        y = self.fc(self.norm(x))
        return x + y if self.skips else y


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            Block(3, 4), Block(4, 4), Block(4, 6, stride=2), Block(6, 6, squeeze=2), Block(6, 8, 2, 3)
        )
        self.tail = nn.Sequential(Residual(8, 8, True), Residual(8, 5, False), Residual(5, 5, True))

    def forward(self, x):
        return self.tail(self.stages(x)).mean((2, 3))


def example():
    return Model(), (torch.randn(2, 3, 8, 8),), {}
