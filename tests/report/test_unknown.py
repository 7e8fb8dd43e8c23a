"""Operators that are not understood are named, with what they cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import prunec
from prunec.report import explain, tables


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(torch.renorm(self.a(x), 2, 0, 1.0).flip(0))
        return self.c(x) + torch.histc(x, 4)


class Fourier(nn.Module):
    """A histogram of hidden values: no axis of it can be told from another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 8), nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.c(self.b(y).relu()) + torch.histc(y, 4)


def test_an_operator_that_freezes_is_listed_with_its_cost() -> None:
    found = prunec.analyze(Fourier(), args=(torch.randn(2, 3),))
    (unknown,) = found.unknown
    assert unknown.op == "aten.histc.default"
    assert "counts values" in unknown.reason
    assert unknown.line is not None
    # a[8, 3] and its bias have no other axis; b[6, 8] and its bias are reached by their rows.
    assert unknown.parameters == 8 * 3 + 8
    listed = found.as_dict()["unknown_operators"]
    assert listed == [
        {
            "node": unknown.node,
            "op": "aten.histc.default",
            "line": unknown.line,
            "reason": unknown.reason,
            "parameters": 32,
        }
    ]
    assert "aten.histc.default" in tables.text(*explain.overview(found))


def test_a_compile_warns_of_it() -> None:
    spec = "target params <= 90%\nprune channels { score l2 }\nrepair none\n"
    made = prunec.compile(spec, model=Fourier().eval(), args=(torch.randn(2, 3),))
    (warning,) = [d for d in made.report.diagnostics if d.code == "P0520"]
    assert warning.severity == "warning"
    assert "keeps 32 parameters out of reach" in warning.message


def test_probed_operators_are_a_note() -> None:
    found = prunec.analyze(Counted(), args=(torch.randn(2, 3),))
    assert [o.op for o in found.probed] == ["aten.renorm.default"]
    assert {d.code for d in found.notes} == {"P0520", "P0521"}
