"""How good a plan could possibly be: a lower bound on the loss, by a short branch and bound."""

from __future__ import annotations

from prunec.passes.allocate import branch
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers

GAP = 0.001
"""Relative gap at which a plan is good enough."""
NODES = 200
"""Nodes solved at most: some ten million numbers looked at."""


def run(table: Table, choice: Integers) -> float:
    """A number that no loss within the budgets is below; ``choice`` are choices that fit.

    Better plans that come up only say when the bound is close enough.
    """
    return branch.run(table, choice, gap=GAP, nodes=NODES).bound
