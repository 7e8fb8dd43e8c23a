"""A small residual network for 8x8 digits: a stem and three stages of residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """conv-BN-ReLU-conv-BN, added to the input (projected where the shape changes)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Digits(nn.Module):
    """``images: float32[N, 1, 8, 8]`` to ``logits: float32[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stage1 = Block(16, 16)
        self.stage2 = Block(16, 32, stride=2)
        self.stage3 = Block(32, 48, stride=2)
        self.head = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(images)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.head(x.mean(dim=(2, 3)))


def digits() -> nn.Module:
    """The untrained network, the same at every call."""
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = Digits()
    torch.random.set_rng_state(state)
    return net
