"""Every operator of the table, pruned along all axes that are free: what is emitted is equal."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.check import build
from tests.check.operators import Operands


class Sums(Operands):
    """The sum of what each call returns."""

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for parts in self.results():
            found.append(sum(((p.abs() if p.is_complex() else p).sum() for p in parts), x.sum()))
        return found


def test_every_operator_pruned_is_equal() -> None:
    made = build.compile(Sums(), torch.randn(2, 1))
    assert len(made.groups) > 700
    found = made.check(batches=(2,), modes=("eval",))
    assert found.equal, [str(d) for d in found.diagnostics]
