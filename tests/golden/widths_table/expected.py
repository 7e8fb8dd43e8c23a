# Written by prunec from case.prune.

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, in_channels, mid_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(mid_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.conv2(F.relu(self.conv1(x)))


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Block(3, 4, 4), Block(4, 2, 4), Block(4, 3, 4))
        self.stage = nn.Sequential(
            Block(4, 5, 8, stride=2),
            *[Block(8, mid_channels, 8) for mid_channels in (9, 4, 7, 5, 6)],
        )
        self.towers = nn.ModuleList(
            [Block(8, mid_channels, 3) for mid_channels in (3, 4, 5, 6)]
        )

    def forward(self, x):
        x = self.stage(self.stem(x))
        features = [tower(x) for tower in self.towers]
        return torch.cat(features, 1)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = Slim()
    model.load_state_dict(load_file(path))
    return model.eval()
