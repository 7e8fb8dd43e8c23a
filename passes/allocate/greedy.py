"""Greedy: from the full widths, always the step that loses least per true cost saved."""

from __future__ import annotations

from prunec.diagnostics import InternalError
from prunec.passes.allocate import refine
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers


def run(table: Table) -> Integers:
    """The first choices on the way down that fit.

    With one budget the way does not depend on it, so a looser budget never loses more. With
    several it does: what is saved counts only in those that are still exceeded.
    """
    found = refine.shrink(table, table.full)
    if found is None:
        raise InternalError("the smallest widths meet the budgets, yet greedy removal does not")
    return found
