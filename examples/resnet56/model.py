"""The CIFAR ResNets of He et al. (2016), section 4.2: depth 6n+2, zero-padded ("option A")
shortcuts.
"""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from examples.resnet56.data import folder


class Block(nn.Module):
    """conv-BN-ReLU-conv-BN, added to the input, whose missing channels are padded with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.padding = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """The input; halved in size, with as many zero channels before as behind, where the shape
        changes.
        """
        if not self.padding:
            return x
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))


class ResNet(nn.Module):
    """``x: float32[N, 3, 32, 32]`` to ``logits: float32[N, 10]``."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16, stride=1)
        self.layer2 = _stage(blocks, 16, 32, stride=2)
        self.layer3 = _stage(blocks, 32, 64, stride=2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def resnet20() -> nn.Module:
    """ResNet-20 with the trained weights of the data folder."""
    return pretrained(20)


def resnet56() -> nn.Module:
    """ResNet-56 with the trained weights of the data folder."""
    return pretrained(56)


def pretrained(depth: int) -> nn.Module:
    """A ResNet of a depth ``6n+2`` with its trained weights, in eval mode."""
    net = ResNet((depth - 2) // 6)
    net.load_state_dict(load_file(folder() / f"resnet{depth}.safetensors"))
    return net.eval()


def _stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    rest = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(inputs, outputs, stride), *rest)
