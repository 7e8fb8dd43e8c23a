"""One module called twice, a shared activation, a list and a dict of modules."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.act = nn.GELU()
        self.heads = nn.ModuleDict({"small": nn.Linear(8, 2), "class": nn.Linear(8, 3)})
        self.steps = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])

    def forward(self, x):
        x = self.act(self.layer(self.act(self.layer(x))))
        for step in self.steps:
            x = x + step(x)
        return self.heads["small"](x), self.heads["class"](x)


def example():
    return Net(), (torch.randn(2, 8),), {}
