"""Rows: of budgets that bound the largest of many sums, solvers see the sums that matter.

The peak of a forward is the largest of some hundred sums, nearly all of which stay far below the
bound while the others meet it. Those that are tightest at the uniform widths are solved for; what
the solution exceeds joins them, and it is solved again. The last solution fits all of them; it is
a solution with fewer budgets, so that what bounds its loss from below, and whether it is optimal,
holds with all of them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from prunec.diagnostics import InternalError
from prunec.passes.allocate import uniform
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers

FEW = 4
"""Sums with which a solver begins, and so many that none are left out."""


class Solution(Protocol):
    """What a solver gives."""

    @property
    def choice(self) -> Integers:
        """Choices that fit the table that it was given."""


S = TypeVar("S", bound=Solution)


def run(table: Table, solve: Callable[[Table], S]) -> tuple[S, frozenset[int]]:
    """A solution whose choices fit all sums, and the sums that it was found with, by their rows."""
    everything = frozenset(range(len(table.costs)))
    if len(everything) <= FEW:
        return solve(table), everything
    active = _tightest(table, uniform.run(table), sorted(everything), FEW)
    while True:
        found = solve(only(table, active))
        broken = [row for row in sorted(everything) if not _holds(table, found.choice, row)]
        if not broken:
            return found, active
        if active & set(broken):
            raise InternalError("a solution exceeds a budget that it was found with")
        active |= _tightest(table, found.choice, broken, len(active))


def only(table: Table, rows: frozenset[int]) -> Table:
    """The table with some of its costs."""
    chosen = sorted(rows)
    return replace(
        table,
        costs=tuple(table.costs[row] for row in chosen),
        bounds=tuple(table.bounds[row] for row in chosen),
    )


def _tightest(table: Table, choice: Integers, rows: list[int], count: int) -> frozenset[int]:
    """Those of some rows that use most of their bounds."""
    found = np.array(rows)
    order = np.argsort(-table.usage(choice)[found], kind="stable")
    return frozenset(found[order[:count]].tolist())


def _holds(table: Table, choice: Integers, row: int) -> bool:
    return table.costs[row].value(table.width(choice)) <= table.bounds[row]
