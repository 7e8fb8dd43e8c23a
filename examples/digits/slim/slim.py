# Made by prunec from digits.prune.

import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(
        self, in_channels, mid_channels, out_channels, stride=1, shortcut=False
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, mid_channels, 3, stride=stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.conv2 = nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if shortcut:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SlimDigits(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stage1 = Block(16, 9, 16)
        self.stage2 = Block(16, 20, 24, stride=2, shortcut=True)
        self.stage3 = Block(24, 18, 36, stride=2, shortcut=True)
        self.head = nn.Linear(36, 10)

    def forward(self, images):
        x = F.relu(self.bn(self.stem(images)))
        x = self.stage1(x)
        x = self.stage2(x)
        x = self.stage3(x).mean((2, 3))
        return self.head(x)


def load(path):
    """Build the model and fill it from the safetensors file at `path`."""
    from safetensors.torch import load_file

    model = SlimDigits()
    model.load_state_dict(load_file(path))
    return model.eval()
