"""A model of our own, for the test of the command itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.coverage.zoo.case import BATCH, Built, Case


class Residual(nn.Module):
    """A residual block and a head; one convolution is behind an operator without equations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(12, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.norm(self.back(torch.relu(self.inner(x)))))
        return self.head(x.mean(dim=(2, 3)))


class Sorted(Residual):
    """The same with its channels sorted: they cannot be told apart any more."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sort(self.inner(self.stem(x)), dim=1).values[:, :8].mean((2, 3)))


def _build(cls: type[nn.Module]) -> Built:
    torch.manual_seed(0)
    return Built(cls().eval(), (torch.randn(BATCH, 3, 8, 8),))


CASES = (
    Case("own", "residual", lambda: _build(Residual)),
    Case("own", "sorted", lambda: _build(Sorted)),
)
