"""Numbers in a forward that differ: heads, scales and sizes are attributes of one class."""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads, head_dim, scale=None):
        super().__init__()
        self.heads, self.head_dim, self.scale = heads, head_dim, scale
        self.qkv = nn.Linear(width, 3 * heads * head_dim)
        self.proj = nn.Linear(heads * head_dim, width)

    def forward(self, x):
        n, length, _ = x.shape
        shape = (n, length, 3, self.heads, self.head_dim)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.proj(x.transpose(1, 2).reshape(n, length, self.heads * self.head_dim))


class Pool(nn.Module):
    def __init__(self, size, factor):
        super().__init__()
        self.size, self.factor = size, factor

    def forward(self, x):
        return F.avg_pool1d(x.transpose(1, 2), self.size).transpose(1, 2) * self.factor


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
            Attention(12, 3, 4), Pool(2, 0.5), Attention(12, 1, 4, 0.5), Pool(3, 2.0), Attention(12, 2, 6, 0.5)
        )

    def forward(self, x):
        return self.blocks(x)


def example():
    return Model(), (torch.randn(2, 6, 12),), {}
