"""Functions with weights of their own, dropout and batch norm that follow train and eval."""

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 4, 3, 3))
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("var", torch.ones(8))
        self.proj = nn.Linear(8, 6)

    def forward(self, x):
        x = F.conv2d(x, self.weight, padding=1)
        x = F.batch_norm(x, self.mean, self.var, training=self.training)
        x = F.dropout(F.relu6(x), 0.2, self.training)
        x = F.max_pool2d(x, 2).mean(dim=(2, 3))
        return F.linear(x, self.proj.weight * 2, self.proj.bias)


def example():
    return Net(), (torch.randn(2, 4, 8, 8),), {}
