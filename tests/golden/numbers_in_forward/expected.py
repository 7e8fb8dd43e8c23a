# Written by prunec from case.prune.

import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, out_features, in_features, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(12, out_features)
        self.proj = nn.Linear(in_features, 12)

    def forward(self, x):
        x = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = x.unbind()
        x = F.scaled_dot_product_attention(q, k, v, scale=0.5).transpose(1, 2)
        return self.proj(x.flatten(2))


class Pool(nn.Module):
    def __init__(self, kernel_size, scale):
        super().__init__()
        self.kernel_size = kernel_size
        self.scale = scale

    def forward(self, x):
        x = F.avg_pool1d(x.transpose(1, 2), self.kernel_size).transpose(1, 2)
        return x * self.scale


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
            Attention(36, 12, 3),
            Pool(2, 0.5),
            Attention(12, 4, 1),
            Pool(3, 2.0),
            Attention(36, 12, 2),
        )

    def forward(self, x):
        return self.blocks(x)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
