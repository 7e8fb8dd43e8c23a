"""Every operator of the table, pruned along all axes that are free: what is emitted is equal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunec.check import taint
from tests.check import build
from tests.check.operators import CALLS


class Sums(nn.Module):
    """The sum of what each call returns."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for number, (_, operands) in enumerate(CALLS.values()):
            for position, operand in enumerate(operands):
                name = f"c{number}_{position}"
                if isinstance(operand, Tensor):
                    self.register_buffer(name, operand.clone())
                else:
                    setattr(self, name, nn.Parameter(torch.randn(operand, generator=generator)))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for number, (function, operands) in enumerate(CALLS.values()):
            given = [getattr(self, f"c{number}_{k}") for k in range(len(operands))]
            parts = taint.outputs(function(*given))
            found.append(sum(((p.abs() if p.is_complex() else p).sum() for p in parts), x.sum()))
        return found


def test_every_operator_pruned_is_equal() -> None:
    made = build.compile(Sums(), torch.randn(2, 1))
    assert len(made.groups) > 700
    found = made.check(batches=(2,), modes=("eval",))
    assert found.equal, [str(d) for d in found.diagnostics]
