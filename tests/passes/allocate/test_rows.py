"""Budgets of the largest of many sums: solved with few of them, held by all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from prunec.diagnostics import InternalError
from prunec.passes.allocate import dp, rows
from prunec.passes.allocate.dp import Solution
from prunec.passes.allocate.table import Table
from tests.passes.allocate.instances import brute_force, problem, with_peaks


@dataclass
class Counted:
    """A solver that notes how many sums it was given."""

    given: list[int] = field(default_factory=list)

    def __call__(self, table: Table) -> Solution:
        self.given.append(len(table.costs))
        return dp.run(table, 1000)


def test_few_sums_are_enough_for_a_solution_that_holds_all() -> None:
    fewer = again = 0
    reached = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        asked = problem(rng, "tangled", groups=3, largest=6)
        asked = with_peaks(rng, asked, points=20)
        table, solve = Table.build(asked), Counted()
        found, few = rows.run(table, solve)
        assert table.fits(found.choice)
        assert solve.given == sorted(set(solve.given))
        assert solve.given[-1] == len(few)
        best = brute_force(asked)
        assert table.loss(found.choice) >= best - 1e-12
        reached.append(table.loss(found.choice) <= best + 1e-12)
        fewer += len(few) < len(table.costs)
        again += len(solve.given) > 1
    assert fewer > 20
    assert again > 3
    assert sum(reached) >= 36


def test_few_sums_are_solved_for_all_at_once() -> None:
    rng = np.random.default_rng(0)
    asked = with_peaks(rng, problem(rng, "chain", groups=3), points=2)
    table, solve = Table.build(asked), Counted()
    _, few = rows.run(table, solve)
    assert len(few) == len(table.costs)
    assert solve.given == [len(table.costs)]


def test_a_solver_that_breaks_what_it_was_given_is_a_defect() -> None:
    rng = np.random.default_rng(3)
    asked = with_peaks(rng, problem(rng, "chain", groups=4), points=20)
    (macs, peak) = asked.budgets
    tight = asked.cost(peak, {g.name: asked.allowed(g)[0] for g in asked.groups})
    table = Table.build(replace(asked, budgets=(macs, replace(peak, bound=tight))))
    assert len(table.costs) > rows.FEW
    with pytest.raises(InternalError, match="exceeds a budget"):
        rows.run(table, lambda given: Solution(given.full))
