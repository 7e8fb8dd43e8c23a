"""Dropped: removed branches are proved, and wrong claims about them refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from prunec import emit, trace
from prunec.check import Removed, twin
from prunec.ir.graph import Graph
from prunec.ir.plan import Plan
from prunec.passes import axes, blocks, shrink


class Net(nn.Module):
    """x + f(x), twice, with a gate between that reads the first sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + torch.sin(self.a(x))
        x = torch.sigmoid(x + torch.cos(self.b(x)))
        return self.last(x)  # type: ignore[no-any-return]


def case(*names: str) -> tuple[Graph, dict[str, Tensor], Removed, nn.Module, tuple[Tensor]]:
    """A network without some of its blocks, as the compiler makes it."""
    torch.manual_seed(0)
    x = torch.randn(2, 3)
    traced = trace.run(Net().eval(), (x,))
    solved = axes.run(traced.graph)
    found = blocks.run(traced.graph, solved)
    plan = Plan({g.name: () for g in found if g.producers[0] in names})
    shrunk = shrink.run(traced.graph, traced.weights, solved, found, plan)
    source = emit.run(shrunk.graph, class_name="Slim", header="a case", weights=shrunk.weights)
    slim = emit.load(source, shrunk.weights, "Slim")
    removed = Removed(shrunk.values, shrunk.kept, shrunk.dropped, shrunk.absent)
    return traced.graph, traced.weights, removed, slim, (x,)


def codes(made: tuple[Graph, dict[str, Tensor], Removed, nn.Module, tuple[Tensor]]) -> list[str]:
    return [d.code for d in twin.run(*made).diagnostics]


@pytest.mark.parametrize("names", [("a",), ("b",), ("a", "b")])
def test_branches_that_are_gone_are_proved(names: tuple[str, ...]) -> None:
    assert twin.run(*case(*names)).equal


def test_a_slim_module_without_another_branch_is_refused() -> None:
    graph, weights, removed, _, x = case("a")
    slim = case("b")[3]
    assert codes((graph, weights, removed, slim, x)) == ["P0807", "P0807"]


def test_a_claim_that_leaves_a_branch_out_is_refused() -> None:
    graph, weights, removed, slim, x = case("a", "b")
    one = dict(list(removed.dropped.items())[:1])
    assert codes((graph, weights, replace(removed, dropped=one), slim, x)) == ["P0803"]


def test_a_branch_that_is_dropped_and_stays_is_refused() -> None:
    graph, weights, removed, _, x = case("a")
    slim = case()[3]
    assert codes((graph, weights, replace(removed, absent=frozenset()), slim, x)) == ["P0801"]


def test_what_is_no_operand_of_a_plain_sum_is_refused() -> None:
    graph, weights, removed, slim, x = case("a")
    for dropped in ({"sin": frozenset({"linear_1"})}, {"add": frozenset({"cos"})}):
        assert codes((graph, weights, replace(removed, dropped=dropped), slim, x)) == ["P0803"]
