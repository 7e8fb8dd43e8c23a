"""How good a plan could possibly be: a lower bound on the loss, by Lagrangian relaxation.

For one budget, min loss(x) subject to C(x) <= B is at least max over t >= 0 of min over x of
loss(x) + t (C(x) - B). The inner minimum falls apart into one per group once C is replaced by
something that is separable and nowhere larger (`CostFunction.separable`).
"""

from __future__ import annotations

from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers

ROUNDS = 3
"""Tangents taken per budget."""
STEPS = 60
"""Prices tried per tangent."""


def run(table: Table, choice: Integers) -> float:
    """A number that no loss within the budgets is below.

    Tangents are taken at ``choice``, then at what minimised the last relaxation.
    """
    best = 0.0
    for cost, bound in zip(table.costs, table.bounds, strict=True):
        point = choice
        for _ in range(ROUNDS):
            curves, constant = cost.separable(table.width(point), table.widths)
            value, point = _dual(table, curves / bound, 1.0 - constant / bound)
            best = max(best, value)
    # Losses and prices are floats: leave room for their rounding.
    return best * (1 - 1e-9)


def _dual(table: Table, curves: Floats, room: float) -> tuple[float, Integers]:
    """The largest value of the dual, a concave function of the price, and the choices there.

    Its slope is how much the cheapest choices exceed the room: the price doubles until they no
    longer do, then is bisected.
    """
    best, low, high = 0.0, 0.0, max(float(table.losses.max(initial=0.0)), 1e-300)
    doubling, choice = True, table.full
    for _ in range(STEPS):
        price = high if doubling else (low + high) / 2
        found = (table.losses + price * curves).argmin(axis=1)
        excess = float(curves[table.rows, found].sum()) - room
        best = max(best, float(table.losses[table.rows, found].sum()) + price * excess)
        if excess <= 0:
            doubling, high, choice = False, price, found
        else:
            low, high = price, 2 * price if doubling else high
    return best, choice
