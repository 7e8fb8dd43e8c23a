"""What rounding can explain: nothing in a tame network, more where a norm magnifies it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunec.check import double, rounding
from prunec.check.compare import TOLERANCE
from tests.check import build


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8, eps=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stem(x)))


def allowed(apart: float) -> float:
    """What is allowed in train mode for two rows that are so far apart."""
    found = build.compile(build.randomised(Normed()), torch.randn(2, 6))
    weights = {name: double.tensor(tensor) for name, tensor in found.weights.items()}
    row = torch.linspace(1, 2, 6, dtype=torch.float64)
    rows = torch.stack([row, row + apart * torch.tensor([1, -1, 1, 1, -1, 1.0])])
    return rounding.allowed(
        found.graph, weights, found.removed, [rows], train=True, tolerance=TOLERANCE
    )


def test_a_tame_network_is_given_nothing() -> None:
    assert allowed(apart=1.0) == TOLERANCE


def test_a_norm_over_two_values_that_nearly_agree_magnifies_rounding() -> None:
    assert TOLERANCE < allowed(apart=1e-8) <= rounding.MOST


def test_nothing_excuses_a_larger_error() -> None:
    assert allowed(apart=1e-13) == pytest.approx(rounding.MOST)
