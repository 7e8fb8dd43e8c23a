"""Training of the digits network: a few seconds, one thread, the same result at every run on one
machine.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.digits.data import load
from examples.digits.model import digits


def train(epochs: int = 12, size: int = 64, rate: float = 0.02) -> nn.Module:
    """The trained network, in eval mode."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = digits().train()
    images, labels = load("train")
    steps = epochs * (len(images) // size)
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(images) // size * size].split(size):
            _step(net, optimizer, images[rows], labels[rows])
            schedule.step()
    torch.set_num_threads(threads)
    return net.eval()


def _step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
