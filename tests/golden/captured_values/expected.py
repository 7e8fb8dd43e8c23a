# Written by prunec from case.prune.

import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(6, 6)

    def forward(self, x, y, mask):
        gate = torch.sigmoid(self.gate_proj(x))
        return torch.where(mask, gate * y, x), gate.sum(-1, keepdim=True)


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Gate()
        self.up_proj = nn.Linear(4, 6)

    def forward(self, x):
        x = self.up_proj(x)
        x1, x2 = self.inner(x, torch.tanh(x), x > 0)
        return x1 / (x2 + 1)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
