# Written by prunec from case.prune.

import torch
from torch import nn


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, 7, 8))
        self.embed = nn.Embedding(20, 8, padding_idx=0)
        self.segments = nn.Embedding(3, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.segments.requires_grad_(False)

    def forward(self, tokens, *, kind):
        x = self.norm(self.embed(tokens) + self.positions + self.segments(kind))
        return self.head(x)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_model

    model = Slim()
    load_model(model, path)
    return model.eval()
