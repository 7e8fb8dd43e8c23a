"""Stairs: the widths at which a latency grows with every width, as solvers ask of a cost.

A latency is no smooth function: it is nearly constant up to a multiple of a vector's length, and 63
channels may take longer than 64. A width that takes as long as a wider one is never worth its loss,
so it is not offered; nor is one below the fastest. What is left has the fastest widths first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir import units
from prunec.ir.group import Group
from prunec.passes.allocate import reach
from prunec.passes.allocate.problem import Budget, Problem
from prunec.passes.polynomial import Integers


def run(problem: Problem) -> Problem:
    """The problem without the widths that take as long as a wider one; as it is where no budget is
    a latency, or where another budget needs the smaller widths.

    The smallest widths that are left hold all budgets.

    Raises:
        PruneError: P0633 where the fastest widths exceed another budget, and the smallest widths a
            latency.
    """
    timed = [b for b in problem.budgets if b.device is not None]
    if not timed:
        return problem
    allowed = {g.name: problem.allowed(g) for g in problem.groups}
    fastest = reach.fastest(problem, timed, allowed)
    least = {name: own[0] for name, own in allowed.items()}
    if _holds(problem, fastest):
        floor = {name: _from(own, fastest[name]) for name, own in allowed.items()}
        found = replace(problem, widths={**problem.widths, **_free(problem, floor)})
        for budget in timed:
            found = _without(found, budget)
        return found
    if _holds(problem, least):
        return problem
    raise PruneError(*_apart(problem, fastest, least))


def _holds(problem: Problem, widths: Mapping[str, int]) -> bool:
    return all(problem.cost(b, widths) <= b.bound for b in problem.budgets)


def _from(widths: tuple[int, ...], least: int) -> tuple[int, ...]:
    return tuple(w for w in widths if w >= least)


def _free(problem: Problem, widths: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Of the groups that may lose something."""
    return {name: own for name, own in widths.items() if name in problem.rankings}


def _without(problem: Problem, budget: Budget) -> Problem:
    """The problem without widths that are no edge of a budget's stairs, wherever the others are."""
    atoms = problem.atoms(budget)
    groups = [g for g in problem.groups if g.atom.id in atoms and _may_narrow(problem, g)]
    if not groups:
        return problem
    (cost,) = problem.functions(budget, [g.atom.id for g in groups])
    allowed = [problem.allowed(g) for g in groups]
    table = reach.stretched(allowed)
    edges = np.ones(table.shape, dtype=np.bool_)
    for others in (table[:, -1], _middle(allowed), table[:, 0]):
        times = cost.curves(others, table)
        wider = np.minimum.accumulate(times[:, ::-1], axis=1)[:, ::-1]
        edges[:, :-1] &= times[:, :-1] < wider[:, 1:]
    edges[:, 0] = True
    kept = {
        g.name: tuple(own[at] for at in range(len(own)) if at + 1 == len(own) or row[at])
        for g, own, row in zip(groups, allowed, edges, strict=True)
    }
    return replace(problem, widths={**problem.widths, **kept})


def _may_narrow(problem: Problem, group: Group) -> bool:
    return not group.branches and len(problem.allowed(group)) > 1


def _middle(allowed: Sequence[Sequence[int]]) -> Integers:
    return np.array([row[len(row) // 2] for row in allowed], dtype=np.int64)


def _apart(
    problem: Problem, fastest: Mapping[str, int], least: Mapping[str, int]
) -> list[Diagnostic]:
    """The budgets that the widths which hold the others exceed."""
    found = []
    for budget in problem.budgets:
        timed = budget.device is not None
        where = "smallest" if timed else "fastest"
        cost = problem.cost(budget, least if timed else fastest)
        if cost > budget.bound:
            now, asked = (units.show(n, budget.metric) for n in (cost, budget.bound))
            found.append(
                Diagnostic(
                    "P0633",
                    f"target `{budget.text}` is exceeded at the {where} widths: {now}, "
                    f"asked {asked}",
                    span=budget.span,
                    help="ask for less of one of the targets: a width that is small for one of "
                    "them is slow for the other",
                )
            )
    return found
