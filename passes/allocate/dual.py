"""The Lagrangian dual: the prices of the budgets at which the cheapest choices lose most.

For prices t >= 0, the least of loss(x) + t (cost(x) / bound - 1) is below every loss within the
budgets. It is a concave function of the prices, and every point found is a plane above it, so that
the best prices are those of a linear programme over the planes (Kelley, 1960); with one budget, of
two lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from prunec.passes.allocate.relaxation import Point, Relaxation
from prunec.passes.polynomial import Floats

ROUNDS = 60
"""Prices tried at most."""
TOLERANCE = 1e-5
"""How far, relative to it, the best value may still be from the planes above it."""
STEEP = 1e4
"""The largest price, relative to the largest loss."""


@dataclass(frozen=True, eq=False)
class Dual:
    """The best value, at ``price``, and the points that it lies between, with their ``weights``,
    which sum to one.
    """

    value: float
    price: Floats
    points: tuple[Point, ...]
    weights: Floats


def run(relaxation: Relaxation, price: Floats | None, enough: float) -> Dual:
    """The best prices; ``price`` is a guess. Stops where the value is ``enough``."""
    table = relaxation.model.table
    points = [_corner(relaxation, high=True), _corner(relaxation, high=False)]
    ceiling = STEEP * max(float(table.losses.sum(axis=0)[0]), 1e-300)
    best, best_price = -np.inf, np.zeros(len(table.costs))
    next_price, above, weights = _master(points, ceiling)
    for turn in range(ROUNDS):
        tried = next_price if price is None or turn else price
        if turn > 1 and len(tried) > 1:
            tried = (tried + best_price) / 2
        point = relaxation.minimise(tried)
        points.append(point)
        if point.value > best:
            best, best_price = point.value, tried
        next_price, above, weights = _master(points, ceiling)
        if best >= enough or above - best <= TOLERANCE * abs(above):
            break
    used = np.flatnonzero(weights > 1e-9)
    return Dual(best, best_price, tuple(points[i] for i in used), weights[used])


def _corner(relaxation: Relaxation, high: bool) -> Point:
    """The narrowest or the widest choices, which need no minimisation."""
    choice = relaxation.high if high else relaxation.low
    table = relaxation.model.table
    loss = table.loss(choice)
    return Point(-np.inf, loss, table.usage(choice) - 1, choice)


def _master(points: list[Point], ceiling: float) -> tuple[Floats, float, Floats]:
    """The prices at which the planes are highest, how high, and what weight each plane has."""
    losses = np.array([p.loss for p in points])
    excess = np.stack([p.excess for p in points])
    if excess.shape[1] == 1:
        return _crossing(losses, excess[:, 0], ceiling)
    count = excess.shape[1]
    scale = max(float(np.abs(losses).max()), 1e-300)
    solved = linprog(
        np.append(np.zeros(count), -1.0),
        A_ub=np.hstack([-excess, np.ones((len(points), 1))]),
        b_ub=losses / scale,
        bounds=[(0, ceiling / scale)] * count + [(None, None)],
        method="highs-ds",
    )
    if solved.x is None:
        return np.zeros(count), np.inf, np.full(len(points), 1 / len(points))
    weights: Floats = np.maximum(-solved.ineqlin.marginals, 0.0)
    return solved.x[:-1] * scale, float(solved.x[-1]) * scale, weights / max(weights.sum(), 1e-300)


def _crossing(losses: Floats, excess: Floats, ceiling: float) -> tuple[Floats, float, Floats]:
    """`_master` for one budget: where the lowest rising line crosses the lowest falling one."""
    weights = np.zeros(len(losses))
    falling = rising = int(np.lexsort((excess, losses))[0])
    price = 0.0
    while excess[falling] > 0:
        slower = np.flatnonzero(excess < excess[falling])
        if not len(slower):
            price = np.inf
            break
        ahead = (losses[slower] - losses[falling]) / (excess[falling] - excess[slower])
        rising, price = falling, max(price, float(ahead.min()))
        falling = int(slower[np.lexsort((excess[slower], ahead))[0]])
    if falling == rising or price > ceiling:
        price = min(price, ceiling)
        weights[falling] = 1.0
        return np.array([price]), float((losses + price * excess).min()), weights
    share = -excess[falling] / (excess[rising] - excess[falling])
    weights[rising], weights[falling] = share, 1 - share
    return np.array([price]), float(losses[falling] + price * excess[falling]), weights
