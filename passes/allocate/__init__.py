"""Allocation: the widths of all groups, so that the loss is least and every budget holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from prunec.diagnostics import InternalError
from prunec.ir.plan import Plan
from prunec.passes.allocate import bound, dp, greedy, lp, uniform
from prunec.passes.allocate.conflict import Limit as Limit
from prunec.passes.allocate.problem import Budget as Budget
from prunec.passes.allocate.problem import Problem as Problem
from prunec.passes.allocate.problem import allowed_widths as allowed_widths
from prunec.passes.allocate.problem import check
from prunec.passes.allocate.table import OPTIONS, Table
from prunec.spec import Dp, Greedy, Lp, Solver, Uniform


def run(solver: Solver, problem: Problem) -> Plan:
    """The plan of a solver; its costs are exact and within every budget.

    Raises `PruneError`: P0601 for budgets out of reach, P0602 when the dense model meets them all,
    P0603 without a budget.
    """
    notes = check(problem)
    whole = Table.build(problem)
    table = whole.thinned(OPTIONS)
    optimal = False
    match solver:
        case Uniform():
            choice = uniform.run(table)
        case Greedy():
            choice = greedy.run(table)
        case Dp(bins=bins):
            solution = dp.run(table, bins)
            choice = solution.choice
            optimal = solution.optimal and np.array_equal(table.counts, whole.counts)
        case Lp():
            choice = lp.run(table)
        case _:
            assert_never(solver)
    if not table.fits(choice):
        raise InternalError("the plan exceeds a budget")
    loss = table.loss(choice)
    return Plan(
        keep=_keep(problem, table.named(choice)),
        solver=solver.name,
        objective=loss,
        bound=loss if optimal else min(loss, bound.run(whole, table.original(choice))),
        costs=problem.report(table.named(choice)),
        notes=notes,
    )


def _keep(problem: Problem, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The channels kept, for the groups that lose some."""
    return {
        g.name: problem.rankings[g.name].keep(widths[g.name])
        for g in problem.groups
        if widths.get(g.name, g.size) < g.size
    }
