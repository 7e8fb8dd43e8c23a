"""Loops over lists of modules: with two values, over a part, with collected results, over pieces."""

import torch
from torch import nn


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x, y):
        return self.left(y), self.right(x) + y


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.pairs = nn.ModuleList(Pair() for _ in range(3))
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(6))
        self.pyramid = Pyramid()
        self.norms = nn.ModuleList(nn.LayerNorm(2) for _ in range(3))
        self.conv_list = nn.ModuleList(nn.Linear(6, 2, bias=i > 0) for i in range(2))
        self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        y = x.relu()
        for pair in self.pairs:
            x, y = pair(x, y)
        x = x + y
        for i in range(4):
            x = self.blocks[i](x)
        x = torch.tanh(x)
        a, b, c = self.pyramid(self.blocks[5](self.blocks[4](x)))
        parts = zip(self.norms, (a + b * c).split(2, -1), strict=True)
        x = torch.cat([norm(part) for norm, part in parts], -1)
        x = torch.cat([conv(x) for conv in self.conv_list], -1)
        for layer in self.head:
            x = layer(x)
        return x


def example():
    return Model(), (torch.randn(3, 5, 6),), {}
