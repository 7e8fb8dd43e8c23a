# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class MultiheadAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(24, 8))
        self.in_proj_bias = nn.Parameter(torch.empty(24))
        self.out_proj = nn.Linear(8, 8)

    def forward(self, x, memory):
        x = x.transpose(1, 0)
        memory = memory.transpose(1, 0)
        y1, y2 = self.in_proj_weight.split((8, 16))
        y3, y4 = self.in_proj_bias.split((8, 16))
        q = F.linear(x, y1, y3)
        x = F.linear(memory, y2, y4).unflatten(-1, (2, 8)).unsqueeze(0).transpose(0, -2)
        k, v = x.squeeze(-2).contiguous().unbind()
        q = q.view(5, x.shape[2] * 2, 4).transpose(0, 1)
        k = k.view(7, x.shape[2] * 2, 4).transpose(0, 1)
        v = v.view(7, x.shape[2] * 2, 4).transpose(0, 1)
        q = q.unflatten(0, (x.shape[2], -1))
        k = k.unflatten(0, (x.shape[2], -1))
        v = v.unflatten(0, (x.shape[2], -1))
        x = F.scaled_dot_product_attention(q, k, v).permute(2, 0, 1, 3)
        x = self.out_proj(x.reshape(x.shape[1] * 5, 8)).unflatten(0, (5, -1))
        return x.transpose(1, 0)


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = MultiheadAttention()

    def forward(self, x, memory):
        return self.attention(x, memory)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
