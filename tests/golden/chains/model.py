"""Classes that are an nn.Sequential: one with a list of what comes last, one used once."""

import torch
from torch import nn


class ConvNorm(nn.Sequential):
    def __init__(self, inner, width, kernel, stride=1, groups=1, activation=None):
        padding = kernel // 2
        layers = [nn.Conv2d(inner, width, kernel, stride, padding, 1, groups, False)]
        layers.append(nn.BatchNorm2d(width))
        super().__init__(*layers, *([] if activation is None else [activation()]))


class Head(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvNorm(3, 6, 3, stride=2, activation=nn.ReLU),
            ConvNorm(6, 6, 5, groups=6, activation=nn.Hardswish),
            ConvNorm(6, 4, 1),
            ConvNorm(4, 8, 3, activation=nn.ReLU),
            ConvNorm(8, 8, 3, groups=8, activation=nn.Hardswish),
            ConvNorm(8, 4, 1),
            ConvNorm(4, 8, 5, stride=2, activation=nn.Hardswish),
        )
        self.head = Head(8)

    def forward(self, x):
        return self.head(self.features(x))


def example():
    return Model(), (torch.randn(2, 3, 8, 8),), {}
