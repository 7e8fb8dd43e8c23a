"""Allocation: the widths of all groups, so that the loss is least and every budget holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import assert_never

import numpy as np

from prunec.diagnostics import InternalError
from prunec.ir.plan import Plan
from prunec.passes.allocate import (
    bound,
    dp,
    evolution,
    fastnas,
    greedy,
    lp,
    milp,
    rows,
    search,
    stairs,
    uniform,
)
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
    started = perf_counter()
    notes = check(problem)
    table = Table.build(stairs.run(problem))
    solution, binding = rows.run(table, lambda some: _solve(solver, some, damage))
    if not table.fits(solution.choice):
        raise InternalError("the plan exceeds a budget")
    loss, widths = table.loss(solution.choice), table.named(solution.choice)
    measured = None if damage is None or not damage.tried else damage(widths)
    if measured is not None and damage is not None:
        notes += (f"calibration loss {measured:.4g} (dense: 0), {damage.tried} plans measured",)
        damage.forget()
    return Plan(
        keep=_keep(problem, widths),
        solver=solver.name,
        objective=loss,
        bound=min(loss, _bound(problem, rows.only(table, binding), solution)),
        costs=problem.report(widths),
        notes=notes + solution.notes,
        damage=measured,
        seed=_seed(solver),
        seconds=perf_counter() - started,
    )


def _solve(solver: Solver, table: Table, damage: Damage | None) -> Solution:
    """The solver's choices. Most solvers look at some of the options only."""
    if isinstance(solver, Milp):
        return milp.run(table, solver.gap, solver.nodes)
    thin = table.thinned(OPTIONS)
    found = _solve_thin(solver, thin, damage)
    optimal = found.optimal and np.array_equal(thin.counts, table.counts)
    return replace(found, choice=thin.original(found.choice), optimal=optimal)


def _bound(problem: Problem, table: Table, solution: Solution) -> float:
    """The solver's own, but for a latency: that may fall as a width grows, and a solver whose proof
    takes the smallest widths for the fastest has proved nothing.
    """
    if any(budget.device is not None for budget in problem.budgets):
        return bound.run(table, solution.choice)
    if solution.bound is not None:
        return solution.bound
    return table.loss(solution.choice) if solution.optimal else bound.run(table, solution.choice)


def _seed(solver: Solver) -> int | None:
    """The seed of a solver that draws at random."""
    match solver:
        case Evolution(seed=seed):
            return seed
        case Dp(seed=seed) if solver.search:
            return seed
        case _:
            return None


def _solve_thin(
    solver: Uniform | Greedy | Dp | Lp | Evolution | FastNas, table: Table, damage: Damage | None
) -> Solution:
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
