"""Milp: linear programmes for good plans, branch and bound for the proof.

The start is greedy, improved by programmes of linearised costs. If the first bound does not prove
the gap, groups exchange widths; then boxes of options are split until the gap is proven.
"""

from __future__ import annotations

from prunec.passes.allocate import branch, greedy, programme, refine
from prunec.passes.allocate.dp import Solution
from prunec.passes.allocate.table import OPTIONS, Table
from prunec.passes.polynomial import Integers

EFFORT = 400
"""Exchanges tried at most."""


def run(table: Table, gap: float, nodes: int) -> Solution:
    """Choices that fit, and a bound.

    With ``gap`` zero the choices are optimal, if the search ends before so many ``nodes``, and a
    looser budget never loses more; with a larger one it may, by the gap.
    """
    thin = table.thinned(OPTIONS)
    start = programme.run(table, thin.original(refine.fill(thin, greedy.run(thin))))
    found = branch.run(table, start, gap=gap, nodes=nodes, improve=_exchanged)
    note = f"milp stopped after {found.nodes} nodes, before a gap of {gap:.2%} was proven"
    return Solution(found.choice, notes=(note,) if found.stopped else (), bound=found.bound)


def _exchanged(table: Table, choice: Integers) -> Integers:
    return refine.exchange(table, choice, EFFORT)
