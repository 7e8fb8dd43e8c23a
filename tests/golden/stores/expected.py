# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class Window(nn.Module):
    def __init__(self, stop):
        super().__init__()
        self.stop = stop
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        y = self.qkv.bias.clone()
        y[8:16] = 0.0
        q, k, v = F.linear(x, self.qkv.weight, y).chunk(3, -1)
        mask = x.new_zeros((12,))
        mask[: self.stop] = 1.0
        mask[self.stop :] = 2.0
        scores = q @ k.transpose(1, 2)
        scores[:, 1:] += mask
        return x + scores.softmax(-1) @ v


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.windows = nn.Sequential(Window(-2), Window(-5))

    def forward(self, x):
        x = self.windows(x)
        y = torch.zeros_like(x)
        y[:, x.sum(-1)[0].argsort()] = x
        return y.softmax(-1)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
