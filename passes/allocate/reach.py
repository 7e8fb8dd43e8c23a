"""Reach: the widths at which budgets' costs are least.

Those are the smallest, but for a latency: 63 channels may take longer than 64. So from the smallest
widths on, groups go to their fastest, the others held, while that saves time. Where nothing saves
any more, a group alone cannot help; that several together could is not looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prunec.passes.allocate.conflict import Widths
from prunec.passes.polynomial import Floats, Integers

if TYPE_CHECKING:
    from prunec.passes.allocate.problem import Budget, Problem


def least(problem: Problem, budget: Budget, widths: Widths) -> int:
    """The least cost of a budget; groups without ``widths`` stay full."""
    return problem.cost(budget, fastest(problem, (budget,), widths))


def fastest(problem: Problem, budgets: Sequence[Budget], widths: Widths) -> dict[str, int]:
    """The widths, one of each group's own, at which the budgets are used least, the fullest first.

    Of budgets that are not about latency these are the smallest.
    """
    found = {name: own[0] for name, own in widths.items()}
    timed = [b for b in budgets if b.device is not None]
    touched = frozenset[int]().union(*map(problem.atoms, timed))
    groups = [g for g in problem.groups if g.atom.id in touched and g.name in widths]
    if not groups:
        return found
    table = stretched([widths[g.name] for g in groups])
    unknowns = [g.atom.id for g in groups]
    costs = [(cost, b.bound or 1) for b in timed for cost in problem.functions(b, unknowns)]

    def usage(x: Integers) -> float:
        return max(cost.value(x) / bound for cost, bound in costs)

    def curves(x: Integers) -> Floats:
        found: Floats = np.max([cost.curves(x, table) / bound for cost, bound in costs], axis=0)
        return found

    x = _descended(table, usage, curves)
    return found | {g.name: int(w) for g, w in zip(groups, x, strict=True)}


def stretched(widths: Sequence[Sequence[int]]) -> Integers:
    """Rows of widths as a table, int64[groups, k], padded by repeating the last."""
    longest = max(map(len, widths))
    return np.stack([np.pad(row, (0, longest - len(row)), mode="edge") for row in widths])


def _descended(
    table: Integers, usage: Callable[[Integers], float], curves: Callable[[Integers], Floats]
) -> Integers:
    """From the smallest widths on, all groups to their best at once where that helps, else the one
    that helps most.
    """
    rows = np.arange(len(table))
    x, best = table[:, 0], usage(table[:, 0])
    for _ in range(2 * len(table)):
        found = curves(x)
        option = found.argmin(axis=1)
        together = table[rows, option]
        if usage(together) >= best:
            row = int(found.min(axis=1).argmin())
            together = np.where(rows == row, together, x)
        if usage(together) >= best:
            break
        x, best = together, usage(together)
    return x
