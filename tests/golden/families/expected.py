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
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Mixer(6, 9), Mixer(6, 7)])
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Stage2(nn.Module):
    def __init__(self):
        super().__init__()
        self.reduce = nn.Linear(6, 8)
        self.blocks = nn.ModuleList([Mixer(8, 8), Mixer(8, 5), Mixer(8, 3)])
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.reduce(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Stage3(nn.Module):
    def __init__(self):
        super().__init__()
        self.reduce = nn.Linear(8, 10)
        self.blocks = nn.ModuleList([Mixer(10, 4)])
        self.norm = nn.LayerNorm(10)

    def forward(self, x):
        x = self.reduce(x)
        return self.norm(self.blocks[0](x))


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(Stage(), Stage2(), Stage3())

    def forward(self, x):
        return self.stages(x)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
