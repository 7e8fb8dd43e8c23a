"""How the parity benchmark compares, on one small module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from examples.benchmarks import parity


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.fc(x).relu() + 1}


def rows(count: int) -> dict[str, Tensor]:
    return {"x": torch.randn(count, 4)}


@pytest.mark.parametrize("way", parity.WAYS)
def test_equal(way: str) -> None:
    if way == "onnxruntime" and not parity._has_onnx():
        pytest.skip("needs onnx, onnxscript and onnxruntime")
    assert parity.error(Net().eval(), rows, parity.WAYS[way]) < 1e-6


def test_unequal() -> None:
    wrong = lambda module, example, backend: lambda given: [module(**given)["logits"] * 1.5]  # noqa: E731
    assert parity.error(Net().eval(), rows, wrong) == pytest.approx(0.5)
    short = lambda module, example, backend: lambda given: [module(**given)["logits"][:2]]  # noqa: E731
    with pytest.raises(ValueError, match="other shapes"):
        parity.error(Net().eval(), rows, short)
