"""Latency as a budget: widths that take as long as wider ones are not offered, and every solver
holds what is predicted, however odd the stairs are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunec import PruneError, prepare, understand
from prunec.ir.plan import Ranking
from prunec.passes import allocate, cost, latency
from prunec.passes.allocate import Budget, Problem, dp, reach, stairs
from prunec.passes.allocate.table import Table
from prunec.passes.latency import Correction, Surface
from prunec.passes.latency.surface import Term
from prunec.passes.polynomial import Floats, Integers
from prunec.passes.timed import Timed
from prunec.spec import Dp, Greedy, Lp, Milp, Uniform
from prunec.understand import Understood

DEVICE = "cpu(threads=1, batch=1)"
SOLVERS = (Uniform(), Greedy(), Dp(bins=200), Lp(importance="score"), Milp(nodes=200))


class Net(nn.Module):
    """Two widths, of 12 and 8 channels, which share a product."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 12), nn.Linear(12, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.two(torch.relu(self.one(x)))))


@cache
def understood() -> Understood:
    return understand.run(prepare.given(Net(), (torch.zeros(2, 3),), {}))


@pytest.fixture
def model() -> Understood:
    return understood()


def problem(model: Understood, surface: Any, bound: int = 0, **more: Any) -> Problem:
    """Every unit takes what ``surface`` says for its sizes."""
    units = latency.run(model.traced.graph, model.axes)
    surfaces = {u.signature: surface(len(u.sizes)) for u in units.units}
    timed = {DEVICE: Timed(units, surfaces, Correction())}
    rankings = {
        g.name: Ranking(np.arange(g.size), np.arange(g.size + 1) ** 1.5) for g in model.groups
    }
    costs = cost.run(model.traced.graph, model.axes)
    budget = Budget("latency", bound, "latency", device=DEVICE)
    found = Problem(model.groups, rankings, costs, (budget,), {}, timed=timed)
    return replace(found, **more)


def stepped(sizes: int) -> Surface:
    """Steps of four channels, and a surcharge for odd numbers."""
    four = Term(100.0, ("block",) * sizes)
    odd = Term(30.0, ("bit1", *("one",) * (sizes - 1))) if sizes else Term(5.0, ())
    return Surface(((),) * sizes, ((four, odd, Term(10.0, ("size",) * sizes)),))


def everything(found: Problem) -> dict[tuple[int, ...], int]:
    """The time at all widths that are allowed."""
    (budget,) = found.budgets
    allowed = [found.allowed(g) for g in found.groups]
    return {
        at: found.cost(budget, dict(zip((g.name for g in found.groups), at, strict=True)))
        for at in product(*allowed)
    }


def test_what_is_left_grows_with_every_width(model: Understood) -> None:
    whole = problem(model, stepped, bound=10**9)
    found = stairs.run(whole)
    times, before = everything(found), everything(whole)
    assert len(times) < len(before)
    for at, taken in times.items():
        for other, more in times.items():
            wider = all(a <= b for a, b in zip(at, other, strict=True)) and at != other
            assert not wider or taken < more
    assert min(times.values()) == min(before.values())


def test_without_a_latency_all_widths_stay(model: Understood) -> None:
    found = problem(model, stepped, budgets=(Budget("macs", 10, "macs"),))
    assert stairs.run(found) is found


def test_widths_that_another_budget_needs_stay(model: Understood) -> None:
    whole = problem(model, stepped, bound=10**9)
    least = {g.name: 1 for g in whole.groups}
    macs = Budget("macs", whole.costs.total("macs", whole._by_atom(least)), "macs")
    both = replace(whole, budgets=(*whole.budgets, macs))
    assert stairs.run(both) is both


def test_a_latency_and_another_budget_that_are_apart_are_named(model: Understood) -> None:
    whole = problem(model, stepped)
    (latency,) = whole.budgets
    smallest = {g.name: 1 for g in whole.groups}
    fastest = reach.fastest(whole, (latency,), {g.name: whole.allowed(g) for g in whole.groups})
    assert fastest != smallest
    budgets = (
        replace(latency, bound=whole.cost(latency, fastest)),
        Budget("macs", whole.costs.total("macs", whole._by_atom(smallest)), "macs"),
    )
    with pytest.raises(PruneError) as caught:
        allocate.run(Dp(), replace(whole, budgets=budgets))
    assert [d.code for d in caught.value.diagnostics] == ["P0633", "P0633"]


def test_reach_is_the_least_of_all(model: Understood) -> None:
    whole = problem(model, stepped)
    (budget,) = whole.budgets
    allowed = {g.name: whole.allowed(g)[2:] for g in whole.groups}
    narrowed = replace(whole, widths=allowed)
    assert reach.least(narrowed, budget, allowed) == min(everything(narrowed).values())


def test_a_smaller_width_that_is_slower_is_no_reason_to_refuse(model: Understood) -> None:
    """Odd numbers of channels cost much: the smallest widths, one each, are not the fastest."""

    def odd(sizes: int) -> Surface:
        terms = [
            Term(1000.0, tuple("bit1" if k == at else "one" for k in range(sizes)))
            for at in range(sizes)
        ]
        return Surface(((),) * sizes, ((*terms, Term(10.0, ("size",) * sizes)),))

    whole = problem(model, odd)
    best = min(everything(whole).values())
    smallest = {g.name: 1 for g in whole.groups}
    (budget,) = whole.budgets
    assert whole.cost(budget, smallest) > best
    bounded = replace(whole, budgets=(replace(budget, bound=best),))
    for solver in SOLVERS:
        plan = allocate.run(solver, bounded)
        assert plan.costs[-1].slim == best
    with pytest.raises(PruneError, match="P0601"):
        allocate.run(Dp(), replace(whole, budgets=(replace(budget, bound=best - 1),)))


@settings(max_examples=80, deadline=None)
@given(
    share=st.floats(0.05, 0.99),
    block=st.floats(0, 100),
    odd=st.floats(0, 400),
    half=st.floats(0, 400),
    size=st.floats(0.1, 100),
)
def test_no_solver_exceeds_a_latency(
    share: float, block: float, odd: float, half: float, size: float
) -> None:
    def surface(sizes: int) -> Surface:
        names = {"block": block, "bit1": odd, "bit2": half, "size": size}
        terms = [Term(c, (name,) * sizes) for name, c in names.items()]
        return Surface(((),) * sizes, (tuple(terms),))

    whole = problem(understood(), surface)
    (budget,) = whole.budgets
    bound = max(1, int(share * whole.cost(budget)))
    asked = replace(whole, budgets=(replace(budget, bound=bound),))
    least = reach.least(asked, budget, {g.name: asked.allowed(g) for g in asked.groups})
    losses = {at: _loss(asked, at) for at, taken in everything(asked).items() if taken <= bound}
    assert min(everything(asked).values()) <= least
    for solver in SOLVERS:
        if least <= bound:
            plan = allocate.run(solver, asked)
            assert plan.costs[-1].slim <= bound
            assert plan.objective >= min(losses.values()) - 1e-9
        else:
            with pytest.raises(PruneError, match="P0601"):
                allocate.run(solver, asked)


def _loss(asked: Problem, at: tuple[int, ...]) -> float:
    return sum(asked.loss(g, width) for g, width in zip(asked.groups, at, strict=True))


class Deep(nn.Sequential):
    """Eight layers, whose times rise and fall with each other's widths."""

    def __init__(self) -> None:
        widths = (3, 40, 24, 33, 48, 20, 40, 17, 5)
        layers = ((nn.Linear(a, b), nn.Tanh()) for a, b in pairwise(widths))
        super().__init__(*(m for pair in layers for m in pair))


def test_solvers_hold_a_latency_that_falls_as_widths_grow() -> None:
    """What is left of the stairs at some widths of the others may fall at other ones."""

    def surface(sizes: int) -> Surface:
        if sizes != 2:
            return Surface(((),) * sizes, ((Term(50.0, ("one",) * sizes),),))
        crossed = (("bit4", "block"), ("block", "bit8"), ("bit1", "bit2"))
        terms = [Term(c, names) for c, names in zip((9.0, 7.0, 900.0), crossed, strict=True)]
        return Surface(((), ()), ((Term(1.0, ("size", "size")), *terms),))

    found = understand.run(prepare.given(Deep(), (torch.zeros(2, 3),), {}))
    whole = problem(found, surface)
    (budget,) = whole.budgets
    for share in (0.9, 0.6, 0.3):
        bound = int(share * whole.cost(budget))
        asked = replace(whole, budgets=(replace(budget, bound=bound),))
        for solver in SOLVERS:
            plan = allocate.run(solver, asked)
            assert plan.costs[-1].slim <= bound
            assert plan.bound is not None
            assert plan.bound <= plan.objective


class Dip:
    """10 x + 10 y, and 200 more for one x beside four y or more: x falls there as it grows."""

    unknowns = 2
    touched = np.ones(2, dtype=np.bool_)

    def __call__(self, x: Integers) -> Integers:
        dear = (x[..., 0] == 1) & (x[..., 1] >= 4)
        return 10 * x.sum(axis=-1) + 200 * dear.astype(np.int64)

    def value(self, x: Integers) -> int:
        return int(self(x))

    def curves(self, x: Integers, table: Integers) -> Integers:
        points = np.repeat(np.repeat(x[None, None], len(table), 0), table.shape[1], 1)
        points[np.arange(2), :, np.arange(2)] = table
        return self(points)

    def gradient(self, x: Floats) -> Floats:
        return np.full(2, 10.0)

    def real(self, x: Floats) -> float:
        return float(10 * x.sum())

    def separable(self, x: Integers, widths: Integers) -> tuple[Floats, float]:
        return 10.0 * widths, 0.0


@pytest.mark.parametrize("bound", [30, 70, 80, 100, 110])
def test_dynamic_programming_survives_a_cost_that_falls(bound: int) -> None:
    widths = [np.arange(1, 7), np.arange(1, 7)]
    table = Table.of(("x", "y"), widths, [7.0 - w for w in widths], (Dip(),), (bound,))
    found = dp.run(table, 100).choice
    best = min(
        table.loss(np.array(c)) for c in product(range(6), range(6)) if table.fits(np.array(c))
    )
    assert table.fits(found)
    assert table.loss(found) == best
