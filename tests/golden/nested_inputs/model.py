"""A dict and a tuple go in, a dict comes out, a flag is fixed."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 6)
        self.right = nn.Linear(5, 6)

    def forward(self, pair, extra, flip=False):
        left, right = pair
        y = self.left(left) + self.right(right)
        y = y if flip else y + extra["bias"]
        return {"sum": y, "parts": [left, (y.mean(), None)]}


def example():
    pair = torch.randn(2, 4), torch.randn(2, 5)
    return Net(), (pair, {"bias": torch.randn(2, 6)}), {"flip": False}
