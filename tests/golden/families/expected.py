# Written by prunec from case.prune.

import torch.nn.functional as F
from torch import nn


class Mixer(nn.Module):
    def __init__(self, features, up_features):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, up_features)
        self.down = nn.Linear(up_features, features)

    def forward(self, x):
        return x + self.down(F.relu(self.up(self.norm(x))))


class Stage(nn.Module):
    def __init__(self, blocks, features, in_features=None):
        super().__init__()
        self.reduce = nn.Identity()
        if in_features is not None:
            self.reduce = nn.Linear(in_features, features)
        self.blocks = blocks
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        x = self.reduce(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            Stage(nn.ModuleList([Mixer(6, 9), Mixer(6, 7)]), 6),
            Stage(
                nn.ModuleList([Mixer(8, 8), Mixer(8, 5), Mixer(8, 3)]), 8, in_features=6
            ),
            Stage(nn.ModuleList([Mixer(10, 4)]), 10, in_features=8),
        )

    def forward(self, x):
        return self.stages(x)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
