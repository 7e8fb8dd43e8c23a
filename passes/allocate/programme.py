"""Sequential linear programming over options: the multiple-choice knapsack of linearised costs.

At a plan, each group's true cost curve with the others held makes every budget a sum over groups.
Which option each group takes, so that the losses are least and all budgets hold, is an integer
programme; its relaxation, solved by HiGHS, splits no more groups than there are budgets. Those take
the narrowest of their options. The answer, repaired with the true costs, is where the next
programme is made; options are those within a trust region, which shrinks.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from prunec.passes.allocate import refine
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers

RADII = (1.0, 0.5, 0.25, 0.25, 0.1, 0.1, 0.04, 0.04)
"""The trust regions of the programmes, as fractions of each group's options."""
OPTIONS = 24
"""Options of a group in one programme, at most."""


def run(table: Table, start: Integers) -> Integers:
    """Choices that fit and lose no more than ``start``, which must fit."""
    best, loss = start, table.loss(start)
    for radius in RADII:
        found = _solve(table, best, radius)
        if found is None:
            continue
        repaired = found if table.fits(found) else refine.shrink(table, found)
        if repaired is None:
            continue
        repaired = refine.fill(table, repaired)
        if table.loss(repaired) < loss:
            best, loss = repaired, table.loss(repaired)
    return best


def _solve(table: Table, at: Integers, radius: float) -> Integers | None:
    """The choices of one programme; None where it has no answer."""
    options = [_near(int(a), int(n), radius) for a, n in zip(at, table.counts, strict=True)]
    group = np.repeat(table.rows, [len(o) for o in options])
    option, columns = np.concatenate(options), np.arange(len(group))
    losses, x = table.losses[group, option], table.width(at)
    rows, room = [], []
    for cost, curve, bound in zip(table.costs, table.curves(at), table.bounds, strict=True):
        rows.append((curve[group, option] - curve[group, at[group]]) / bound)
        room.append(1 - cost.value(x) / bound)
    solved = linprog(
        losses / max(float(losses.max(initial=0.0)), 1e-300),
        A_ub=np.stack(rows),
        b_ub=np.array(room),
        A_eq=coo_array((np.ones(len(group)), (group, columns)), (len(at), len(group))).tocsr(),
        b_eq=np.ones(len(at)),
        method="highs-ds",
    )
    if solved.x is None:
        return None
    found = at.copy()
    taken = np.flatnonzero(solved.x > 1e-6)[::-1]
    found[group[taken]] = option[taken]
    return found


def _near(at: int, count: int, radius: float) -> Integers:
    """Options around one, evenly spread, that one, the first and the last of them included."""
    reach = max(2, int(radius * count))
    low, high = max(0, at - reach), min(count - 1, at + reach)
    spread = np.linspace(low, high, OPTIONS).round().astype(np.int64)
    return np.unique(np.append(spread, at))
