# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(6, 6)
        self.right = nn.Linear(6, 6)

    def forward(self, x, x2):
        return self.left(x), self.right(x2) + x


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])

    def forward(self, x):
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.pairs = nn.ModuleList([Pair() for _ in range(3)])
        self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(6)])
        self.pyramid = Pyramid()
        self.norms = nn.ModuleList([nn.LayerNorm(2) for _ in range(3)])
        self.conv_list = nn.ModuleList([nn.Linear(6, 2, bias=False), nn.Linear(6, 2)])
        self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        y = F.relu(x)
        for pair in self.pairs:
            x, y = pair(y, x)
        x = x + y
        for block in self.blocks[:4]:
            x = block(x)
        x = torch.tanh(x)
        x = self.blocks[4](x)
        x = self.blocks[5](x)
        x1, x2, x3 = self.pyramid(x)
        x = x1 + x2 * x3
        features = [
            norm(part) for norm, part in zip(self.norms, x.split(2, -1), strict=True)
        ]
        x = torch.cat(features, -1)
        features = [conv(x) for conv in self.conv_list]
        return self.head(torch.cat(features, -1))


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
