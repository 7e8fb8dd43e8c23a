"""Every solver beside the optimum: 300 small problems of coupled costs, looked at exhaustively."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from prunec.ir.plan import Plan
from prunec.passes.allocate import Problem, run
from prunec.spec import Dp, Greedy, Lp, Milp, Solver, Uniform
from tests.passes.allocate.instances import SHAPES, optimum, problem, with_blocks

EXACT = Milp(gap=0)
OTHERS: tuple[Solver, ...] = (Uniform(), Greedy(), Dp(), Lp(importance="score"), Milp())


def instances(shape: str, count: int = 60) -> Iterator[Problem]:
    """One to three budgets, floors and multiples, every fourth with blocks."""
    seed = 0
    while count:
        rng = np.random.default_rng([seed, sorted(SHAPES).index(shape)])
        asked = problem(rng, shape, groups=3 + seed % 3, largest=7, budgets=1 + seed // 2 % 3)
        asked = with_blocks(rng, asked) if seed % 4 == 3 else asked
        seed += 1
        if all(asked.cost(b) > b.bound for b in asked.budgets):
            count -= 1
            yield asked


def widths(asked: Problem, plan: Plan) -> dict[str, int]:
    return {g.name: len(plan.keep.get(g.name, range(g.size))) for g in asked.groups}


def certified(asked: Problem, plan: Plan, best: float) -> None:
    """Budgets, floors and multiples hold; the bound is below the optimum, the loss is not."""
    found = widths(asked, plan)
    assert all(asked.cost(b, found) <= b.bound for b in asked.budgets)
    assert all(found[g.name] in asked.allowed(g) for g in asked.groups)
    assert plan.objective == pytest.approx(sum(asked.loss(g, found[g.name]) for g in asked.groups))
    assert plan.objective >= best - 1e-9
    assert plan.bound is not None
    assert plan.gap is not None
    assert plan.bound <= best + 1e-9
    assert plan.gap * plan.objective == pytest.approx(plan.objective - plan.bound, abs=1e-12)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_milp_equals_the_optimum_and_proves_it(shape: str) -> None:
    for number, asked in enumerate(instances(shape)):
        plan, best = run(EXACT, asked), optimum(asked)
        certified(asked, plan, best)
        assert plan.objective == pytest.approx(best, abs=1e-9), number
        assert plan.gap == pytest.approx(0, abs=1e-8), number
        assert not plan.notes or all("milp" not in note for note in plan.notes)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_no_other_solver_says_what_is_not_so(shape: str) -> None:
    for number, asked in enumerate(instances(shape)):
        best = optimum(asked)
        for solver in OTHERS:
            plan = run(solver, asked)
            certified(asked, plan, best)
            if isinstance(solver, Milp):
                assert plan.objective <= best * (1 + 0.006) + 1e-12
            chain = shape in ("separable", "chain") and len(asked.budgets) == 1 and number % 4 != 3
            if isinstance(solver, Dp) and chain and all(not g.branches for g in asked.groups):
                assert plan.objective == pytest.approx(best, abs=1e-12)
                assert plan.gap == 0


def test_the_grid_is_what_every_choice_gives() -> None:
    from tests.passes.allocate.instances import brute_force

    for shape in SHAPES:
        asked = next(instances(shape))
        assert optimum(asked) == pytest.approx(brute_force(asked), abs=1e-12)


def looser(asked: Problem, steps: int) -> Iterator[Problem]:
    """All budgets of the problem grow to nearly the dense costs."""
    dense = [asked.cost(b) for b in asked.budgets]
    for step in range(steps):
        bounds = [
            b.bound + (d - 1 - b.bound) * step // steps
            for b, d in zip(asked.budgets, dense, strict=True)
        ]
        yield replace(
            asked,
            budgets=tuple(replace(b, bound=n) for b, n in zip(asked.budgets, bounds, strict=True)),
        )


MONOTONE: tuple[tuple[Solver, tuple[str, ...], int], ...] = (
    (EXACT, tuple(SHAPES), 3),
    (Uniform(), tuple(SHAPES), 3),
    (Greedy(), tuple(SHAPES), 1),
    (Dp(), ("separable", "chain"), 1),
)
"""Where a looser budget is sure to lose no more: shapes of costs, and how many budgets at most.

Elsewhere it may: lp rounds, dp models costs that are no chains, greedy weighs several budgets, and
milp stops at its gap.
"""


@pytest.mark.parametrize(
    ("solver", "shapes", "most"), MONOTONE, ids=lambda x: getattr(x, "name", None)
)
def test_a_looser_budget_never_loses_more(
    solver: Solver, shapes: tuple[str, ...], most: int
) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shape, budgets = shapes[seed % len(shapes)], 1 + seed % most
        asked = problem(rng, shape, groups=4, largest=9, budgets=budgets)
        losses = [run(solver, each).objective for each in looser(asked, 7)]
        assert all(b <= a * (1 + 1e-8) + 1e-12 for a, b in pairwise(losses))


def test_dp_says_when_its_bins_are_fewer_than_asked() -> None:
    asked = problem(np.random.default_rng(2), "tangled", groups=5, largest=40)
    plan = run(Dp(bins=10_000_000), asked)
    assert any("not 10000000" in note for note in plan.notes)
    assert not any("steps" in note for note in run(Dp(bins=100), asked).notes)


def test_milp_takes_more_groups_than_an_array_has_dimensions() -> None:
    for seed in range(4):
        asked = problem(np.random.default_rng(seed), "chain", groups=70, largest=4)
        exact = run(Dp(bins=10_000_000), asked)
        assert exact.gap == 0
        assert run(Milp(gap=0), asked).objective == pytest.approx(exact.objective, rel=1e-9)


def test_milp_says_when_it_stops_early() -> None:
    asked = problem(np.random.default_rng(4), "tangled", groups=8, largest=60, budgets=3)
    plan = run(Milp(gap=0, nodes=1), asked)
    assert plan.gap is not None
    assert plan.gap > 0
    assert any("milp stopped" in note for note in plan.notes)
