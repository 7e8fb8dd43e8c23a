"""How good a plan could possibly be: a lower bound on the loss, by Lagrangian relaxation.

For one budget, min loss(x) subject to C(x) <= B is at least max over t >= 0 of min over x of
loss(x) + t (C(x) - B). The inner minimum falls apart into one per group once C is replaced by
something that is separable and nowhere larger. A monomial is convex in log x, hence above its
tangent at any point p:

    m(x) >= m(p) (1 + sum over v of e_v log(x_v / p_v))

Monomials of a single group need no tangent. A block, whose width b may be zero, has no logarithm:
of a monomial b y with y <= Y it is used that b y >= y - Y (1 - b), where p has the block, and that
b y >= 0 where it has not. (See Boyd et al., A tutorial on geometric programming,
2007, section 2.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers, Polynomial

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
            curves, constant = _separable(cost, table.width(point), table.widths)
            value, point = _dual(table, curves / bound, 1.0 - constant / bound)
            best = max(best, value)
    # Losses and prices are floats: leave room for their rounding.
    return best * (1 - 1e-9)


def _separable(cost: Polynomial, x: Integers, widths: Integers) -> tuple[Floats, float]:
    """A curve per group, float64[groups, k], and a constant, whose sum is nowhere above the
    cost."""
    may_vanish = widths[:, 0] == 0
    curves = cost.alone(widths).astype(np.float64)
    if may_vanish.any():
        cost, price = _without(cost, may_vanish, x, widths)
        curves = np.where(may_vanish[:, None], curves, cost.alone(widths))
        curves -= price[:, None] * (1 - np.minimum(widths, 1))
        x, widths = np.maximum(x, 1), np.maximum(widths, 1)
    degrees = np.array([len(s) for s in cost.supports])
    shared = cost.part(degrees > 1)
    slopes = shared.gradient(x.astype(np.float64)) * x
    tangent = slopes[:, None] * np.log(widths / x[:, None])
    constant = cost.coefficients[degrees == 0].sum() + shared.value(x)
    return curves + tangent, float(constant)


def _without(
    cost: Polynomial, may_vanish: NDArray[np.bool_], x: Integers, widths: Integers
) -> tuple[Polynomial, Floats]:
    """The cost without its blocks, and what each block that is away takes off it again at most.

    Monomials of a block alone are left out, and so are those of a block that is away at ``x``.
    """
    full = np.append(widths[:, -1], 1)
    blocks = np.append(may_vanish, False)[cost.index]
    away = (np.append(x, 1)[cost.index] == 0).any(axis=1)
    others = np.where(blocks, cost.unknowns, cost.index)
    alone = np.array([len(s) == 1 for s in cost.supports], dtype=np.bool_) & blocks.any(axis=1)
    rest = ~away & ~alone
    most = cost.coefficients * full[others].prod(axis=1)
    price = np.zeros(cost.unknowns)
    for row in np.flatnonzero(rest & blocks.any(axis=1)):
        for block in set(cost.index[row, blocks[row]].tolist()):
            price[block] += most[row]
    return Polynomial(cost.unknowns, cost.coefficients[rest], others[rest]), price


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
