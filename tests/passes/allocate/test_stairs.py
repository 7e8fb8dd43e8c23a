"""Latency as a budget: widths that take as long as wider ones are not offered, and every solver
holds what is predicted, however odd the stairs are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
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
from prunec.passes.allocate import Budget, Problem, reach, stairs
from prunec.passes.latency import Correction, Surface
from prunec.passes.latency.surface import Term
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
    assert min(everything(asked).values()) <= least
    for solver in SOLVERS:
        if least <= bound:
            assert allocate.run(solver, asked).costs[-1].slim <= bound
        else:
            with pytest.raises(PruneError, match="P0601"):
                allocate.run(solver, asked)
