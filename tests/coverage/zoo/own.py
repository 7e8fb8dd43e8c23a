"""Two models of our own, for the tests of the command itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.coverage.zoo.case import BATCH, Built, Case


class Residual(nn.Module):
    """A residual block and a head: 2042 parameters, all but the head's bias within reach."""

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
        found: Tensor = self.head(x.mean(dim=(2, 3)))
        return found


class Behind(Residual):
    """The same with an operator that is not understood between the block and the head."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.back(torch.relu(self.inner(torch.relu(self.stem(x)))))
        waves = torch.stft(x.flatten(1), 14, window=torch.ones(14), return_complex=True)
        found: Tensor = self.head(waves.abs().mean(2))
        return found


def _build(cls: type[nn.Module]) -> Built:
    torch.manual_seed(0)
    return Built(cls().eval(), (torch.randn(BATCH, 3, 8, 8),))


CASES = (
    Case("own", "residual", lambda: _build(Residual)),
    Case("own", "behind", lambda: _build(Behind)),
)
