"""Allocation: the widths of all groups, so that the loss is least and every budget holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from prunec.diagnostics import InternalError
from prunec.ir.plan import Plan
from prunec.passes.allocate import bound, dp, evolution, fastnas, greedy, lp, rows, search, uniform
from prunec.passes.allocate.conflict import Limit as Limit
from prunec.passes.allocate.dp import Solution
from prunec.passes.allocate.problem import Budget as Budget
from prunec.passes.allocate.problem import Problem as Problem
from prunec.passes.allocate.problem import allowed_widths as allowed_widths
from prunec.passes.allocate.problem import check
from prunec.passes.allocate.search import Measure
from prunec.passes.allocate.table import OPTIONS, Table
from prunec.passes.damage import Damage
from prunec.passes.score import hsic
from prunec.spec import Dp, Evolution, FastNas, Greedy, Lp, Milp, Solver, Uniform


def run(solver: Solver, problem: Problem, damage: Damage | None = None) -> Plan:
    """The plan of a solver; its costs are exact and within every budget.

    ``damage`` is what solvers measure by that need data (``solver.needs_data``). The plan's
    objective is the loss of the rankings all the same, so that the bound is below it.

    Raises `PruneError`: P0601 for budgets out of reach, P0602 when the dense model meets them all,
    P0603 without a budget, P0613 for data that tell nothing.
    """
    notes = check(problem)
    whole = Table.build(problem)
    table = whole.thinned(OPTIONS)
    solution, binding = rows.run(table, lambda given: _solve(solver, given, damage))
    choice = solution.choice
    if not table.fits(choice):
        raise InternalError("the plan exceeds a budget")
    optimal = solution.optimal and np.array_equal(table.counts, whole.counts)
    loss = table.loss(choice)
    measured = None if damage is None or not damage.tried else damage(table.named(choice))
    if measured is not None and damage is not None:
        notes += (f"calibration loss {measured:.4g} (dense: 0), {damage.tried} plans measured",)
        damage.forget()
    whole = rows.only(whole, binding)
    return Plan(
        keep=_keep(problem, table.named(choice)),
        solver=solver.name,
        objective=loss,
        bound=loss if optimal else min(loss, bound.run(whole, table.original(choice))),
        costs=problem.report(table.named(choice)),
        notes=notes,
        damage=measured,
    )


def _solve(solver: Solver, table: Table, damage: Damage | None) -> Solution:
    match solver:
        case Uniform():
            return Solution(uniform.run(table))
        case Greedy():
            return Solution(greedy.run(table))
        case Dp(search=0):
            return dp.run(table, solver.bins)
        case Dp():
            measure = _measure(table, damage)
            return search.run(table, solver.bins, measure, solver.search, solver.seed)
        case Lp(importance="score"):
            return Solution(lp.run(table))
        case Lp(beta=beta):
            importance = hsic.importance(_needed(damage).context, beta)
            return Solution(lp.by_importance(table, importance))
        case Evolution(population=size, generations=count, seed=seed):
            return Solution(evolution.run(table, _measure(table, damage), size, count, seed))
        case FastNas(widths=count):
            return Solution(fastnas.run(table, _measure(table, damage), count))
        case Milp():
            raise InternalError("milp is to join")
        case _:
            assert_never(solver)


def _measure(table: Table, damage: Damage | None) -> Measure:
    found = _needed(damage)
    return lambda choice: found(table.named(choice))


def _needed(damage: Damage | None) -> Damage:
    if damage is None:
        raise InternalError("a solver that measures was given nothing to measure by")
    return damage


def _keep(problem: Problem, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The channels kept, for the groups that lose some."""
    return {
        g.name: problem.rankings[g.name].keep(widths[g.name])
        for g in problem.groups
        if widths.get(g.name, g.size) < g.size
    }
