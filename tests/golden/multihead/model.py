"""nn.MultiheadAttention, which is written out."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x, memory):
        return self.attention(x, memory, memory, need_weights=False)[0]


def example():
    return Net(), (torch.randn(2, 5, 8), torch.randn(2, 7, 8)), {}
