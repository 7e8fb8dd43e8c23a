"""Blocks whose widths differ one by one: a table of widths."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inner, width, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, width, 3, stride, 1)
        self.conv2 = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, x):
        return self.conv2(self.conv1(x).relu())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(*(Block(3 if i == 0 else 4, w, 4) for i, w in enumerate((4, 2, 3))))
        widths = (9, 4, 7, 5, 6)
        self.stage = nn.Sequential(Block(4, 5, 8, 2), *(Block(8, w, 8) for w in widths))
        self.towers = nn.ModuleList(Block(8, w, 3) for w in (3, 4, 5, 6))

    def forward(self, x):
        x = self.stage(self.stem(x))
        return torch.cat([tower(x) for tower in self.towers], 1)


def example():
    return Model(), (torch.randn(2, 3, 8, 8),), {}
