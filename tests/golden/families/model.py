"""Stages that are given their blocks; two classes where one would read worse."""

import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return x + self.down(self.up(self.norm(x)).relu())


class Stage(nn.Module):
    def __init__(self, inner, width, hiddens):
        super().__init__()
        self.reduce = nn.Linear(inner, width) if inner != width else nn.Identity()
        self.blocks = nn.ModuleList(Mixer(width, hidden) for hidden in hiddens)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.reduce(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(Stage(6, 6, (9, 7)), Stage(6, 8, (8, 5, 3)), Stage(8, 10, (4,)))

    def forward(self, x):
        return self.stages(x)


def example():
    return Model(), (torch.randn(2, 5, 6),), {}
