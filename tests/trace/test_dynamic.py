"""Dimensions that may change: their names, their sizes, and what happens when they cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunec import trace
from prunec.diagnostics import PruneError
from prunec.ir.graph import ScalarType
from tests.trace import interpreter


class Tokens(nn.Module):
    def __init__(self, longest: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.position = nn.Parameter(torch.randn(longest, 6))

    def forward(self, ids: Tensor) -> Tensor:
        b, t = ids.shape
        y = self.embed(ids) + self.position[:t]
        return torch.cat([y, y], 0).view(2 * b, t, 2, 3).flatten(0, 1)


class Convs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(4, 2, -1)


class OddBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] % 2 else x * 3


class FixedLength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.position = nn.Parameter(torch.randn(8, 6))

    def forward(self, ids: Tensor) -> Tensor:
        return self.embed(ids) + self.position


def notes(traced):
    return [(d.code, d.severity) for d in traced.notes]


def test_the_batch_is_dynamic_and_traced_at_a_prime():
    traced = trace.run(Convs(), (torch.randn(2, 3, 8, 8),))
    (x,) = traced.graph.inputs
    assert str(x.type) == "float32[N, 3, 8, 8]"
    assert x.type.shape == (11, 3, 8, 8)
    assert str(traced.graph.nodes[-1].type) == "float32[N, 4]"
    assert traced.notes == ()


def test_integer_matrices_have_a_length_and_expressions_are_readable():
    module = Tokens()
    traced = trace.run(module, (torch.zeros(2, 5, dtype=torch.long),))
    assert str(traced.graph.inputs[0].type) == "int64[N, T]"
    assert traced.graph.inputs[0].type.shape == (11, 13)
    texts = {s for n in traced.graph.nodes if hasattr(n.type, "symbols") for s in n.type.symbols}
    assert "2*N" in texts
    for shape in ((1, 6), (5, 4), (2, 64)):
        interpreter.equal(traced, module, torch.randint(0, 10, shape))


def test_a_bound_on_a_size_is_told():
    traced = trace.run(Tokens(), (torch.zeros(2, 5, dtype=torch.long),))
    assert notes(traced) == [("P0321", "note")]
    assert "`T <= 64`" in traced.notes[0].message


def test_a_table_shorter_than_the_next_prime_is_no_obstacle():
    module = Tokens(longest=14)
    traced = trace.run(module, (torch.zeros(2, 14, dtype=torch.long),))
    assert str(traced.graph.inputs[0].type) == "int64[N, T]"
    interpreter.equal(traced, module, torch.randint(0, 10, (3, 9)))


def test_no_two_dimensions_agree_by_accident():
    traced = trace.run(nn.Linear(11, 13), (torch.randn(2, 11),))
    assert traced.graph.inputs[0].type.shape == (17, 11)


def test_a_batch_that_the_model_fixes_keeps_the_given_size():
    module = FixedBatch()
    traced = trace.run(module, (torch.randn(4, 6),))
    assert str(traced.graph.inputs[0].type) == "float32[4, 6]"
    assert notes(traced) == [("P0320", "note")]
    assert "`N` is fixed at 4" in traced.notes[0].message
    interpreter.equal(traced, module, torch.randn(4, 6))


def test_a_branch_on_the_batch_follows_the_given_size():
    module = OddBatch()
    traced = trace.run(module, (torch.randn(4, 6),))
    assert notes(traced) == [("P0320", "note")]
    interpreter.equal(traced, module, torch.randn(4, 6))


def test_one_dimension_is_fixed_and_the_other_stays():
    module = FixedLength()
    traced = trace.run(module, (torch.zeros(2, 8, dtype=torch.long),))
    assert str(traced.graph.inputs[0].type) == "int64[N, 8]"
    assert [d.message for d in traced.notes] == [
        "dimension `T` is fixed at 8, as in the example inputs"
    ]
    interpreter.equal(traced, module, torch.randint(0, 10, (3, 8)))


def test_dimensions_are_chosen_by_name():
    module = Convs()
    traced = trace.run(module, (torch.randn(2, 3, 8, 8),), dynamic={"x": {2: "H", 3: "W"}})
    assert str(traced.graph.inputs[0].type) == "float32[2, 3, H, W]"
    interpreter.equal(traced, module, torch.randn(2, 3, 9, 5))
    assert str(trace.run(module, (torch.randn(2, 3, 8, 8),), dynamic={}).graph.inputs[0].type) == (
        "float32[2, 3, 8, 8]"
    )


@pytest.mark.parametrize(
    ("args", "dynamic", "code"),
    [
        ((), None, "P0331"),
        ((torch.ones(2, 3, 8, 8), 1), None, "P0331"),
        ((torch.ones(0, 3, 8, 8),), None, "P0332"),
        ((torch.ones(2, 3, 8, 8),), {"y": {0: "N"}}, "P0333"),
        ((torch.ones(2, 3, 8, 8),), {"x": {4: "N"}}, "P0333"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(args, dynamic, code):
    with pytest.raises(PruneError) as caught:
        trace.run(Convs(), args, dynamic=dynamic)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_sizes_are_read_in_the_module_that_uses_them():
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.shape[0], 2, 3)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(torch.relu(x))
            return y.reshape(x.shape[0] * 2, 3)

    module = Outer()
    traced = trace.run(module, (torch.randn(2, 6),))
    sizes = [n for n in traced.graph.nodes if n.op == "size"]
    assert sorted(n.module for n in sizes) == ["", "inner"]
    assert all(isinstance(n.type, ScalarType) and n.type.example == 11 for n in sizes)
    interpreter.equal(traced, module, torch.randn(5, 6))
