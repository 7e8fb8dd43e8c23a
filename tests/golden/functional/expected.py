# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, 4, 3, 3))
        self.register_buffer("mean", torch.empty(8))
        self.register_buffer("var", torch.empty(8))
        self.proj = nn.Linear(8, 6)

    def forward(self, x):
        x = F.conv2d(x, self.weight, padding=1)
        x = F.relu6(F.batch_norm(x, self.mean, self.var, training=self.training))
        x = F.dropout(x, 0.2, training=self.training)
        x = F.max_pool2d(x, 2).mean((2, 3))
        return F.linear(x, self.proj.weight * 2, self.proj.bias)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
