"""Stores into a part of a tensor: a mask, a bias with a gap, arithmetic in place."""

import torch
from torch import nn


class Window(nn.Module):
    def __init__(self, width, shift):
        super().__init__()
        self.shift = shift
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x):
        bias = self.qkv.bias.clone()
        bias[8:16].zero_()
        q, k, v = nn.functional.linear(x, self.qkv.weight, bias).chunk(3, dim=-1)
        region = x.new_zeros(12)
        region[: -self.shift] = 1
        region[-self.shift :] = 2
        scores = q @ k.transpose(-2, -1)
        scores[:, 1:] += region
        return x + scores.softmax(-1) @ v


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.windows = nn.Sequential(Window(8, 2), Window(8, 5))

    def forward(self, x):
        x = self.windows(x)
        order = x.sum(-1)[0].argsort()
        y = torch.zeros_like(x)
        y[:, order] = x
        return y.softmax(-1)


def example():
    return Net(), (torch.randn(2, 12, 8),), {}
