"""Tied weights, integer inputs, a position parameter and a frozen embedding."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(1, 7, 8))
        self.segments = nn.Embedding(3, 8)
        self.segments.requires_grad_(False)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens, *, kind):
        x = self.embed(tokens) + self.positions + self.segments(kind)
        return self.head(self.norm(x))


def example():
    return Net(), (torch.randint(0, 20, (2, 7)),), {"kind": torch.randint(0, 3, (2, 7))}
