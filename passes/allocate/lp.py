"""Linear programming: continuous widths, convex losses, and the costs linearised again and again.

Each group's loss becomes its lower convex hull, a sum of segments of rising slope, so that one
linear programme solves the continuous problem for linear costs, several budgets at once. The costs
are linearised at the last solution, within a trust region that shrinks.

With an importance of each group in place of its losses this is ITPruner's allocation (Zheng et al.,
2021): the weighted sum of the width ratios is maximised. Ratios are bounded below, for the optimum
of a linear objective is at the ends; the objective is on the scale of one, or no solver would see
it; and the costs are not convex, so it starts from several points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog

from prunec.passes.allocate import refine, uniform
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers

RADII = 0.5 * 0.75 ** np.arange(16)
"""The trust regions, as fractions of what each width can vary."""
PENALTY = 1e4
"""Price of exceeding a linearised budget by all of it, where removing everything removable costs
one."""
FLOOR = 0.1
"""Least share of a group's channels where importance decides, if the budgets let."""
STARTS = 8
"""Points that the sequence starts from where importance decides."""


def run(table: Table, starts: int = 1) -> Integers:
    """Choices that fit: the best of the rounded solutions, refined.

    The sequence begins at the largest common ratio, and at random points beside it. Rounding may
    cost a looser budget more than it gains: it can lose more.
    """
    start = uniform.run(table)
    candidates = [refine.fill(table, start)]
    if table.losses.max(initial=0.0) > 0:
        hull = _Hull(table)
        for x in _starts(table, start, starts):
            candidates += _sequence(table, hull, x)
    return refine.exchange(table, min(candidates, key=table.loss))


def by_importance(table: Table, importance: Mapping[str, float]) -> Integers:
    """Choices that fit, of nearly the largest sum of importance times width ratio."""
    worth = np.array([importance[name] for name in table.names])
    ratios = table.widths / np.maximum(table.widths[:, -1:], 1)
    linear = replace(table, losses=worth[:, None] * (1 - ratios))
    bounded = _bounded(linear)
    if not bounded.fits(bounded.least):
        return run(linear, STARTS)
    return bounded.original(run(bounded, STARTS))


def _bounded(table: Table) -> Table:
    """Without the widths below the floor; a block, which goes or stays, has none."""
    low = np.where(table.widths[:, 0] > 0, np.ceil(FLOOR * table.widths[:, -1]), 0)
    kept = [
        np.flatnonzero(row[:count] >= least)
        for row, count, least in zip(table.widths, table.counts, low, strict=True)
    ]
    return table.only(kept)


def _starts(table: Table, common: Integers, count: int) -> list[Floats]:
    low, high = (table.width(c).astype(np.float64) for c in (table.least, table.full))
    rng = np.random.default_rng(0)
    random = [low + (high - low) * rng.random(len(low)) for _ in range(count - 1)]
    return [table.width(common).astype(np.float64), *random]


def _sequence(table: Table, hull: _Hull, x: Floats) -> list[Integers]:
    """One linear programme after another, each linearised at the last one's solution."""
    found = []
    for radius in RADII:
        x = _solve(table, hull, x, float(radius))
        rounded = refine.shrink(table, _floor(table, x))
        if rounded is not None:
            found.append(refine.fill(table, rounded))
    return found


class _Hull:
    """The segments of all lower hulls: group, where it starts above the smallest width, length,
    slope."""

    def __init__(self, table: Table) -> None:
        found = [
            (group, float(a - row[0]), float(b - a), (high - low) / (a - b))
            for group, (row, losses) in enumerate(zip(table.widths, table.losses, strict=True))
            for (a, high), (b, low) in _segments(row, losses)
        ]
        self.group = np.array([group for group, *_ in found], dtype=np.intp)
        _, self.start, self.length, self.slope = np.array(found, dtype=np.float64).T
        self.slope /= table.losses[:, 0].sum()


def _segments(
    widths: Integers, losses: Floats
) -> pairwise[tuple[tuple[float, float], tuple[float, float]]]:
    """Consecutive vertices of the lower convex hull (Andrew's monotone chain)."""
    hull: list[tuple[float, float]] = []
    for point in sorted(set(zip(widths.tolist(), losses.tolist(), strict=True))):
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return pairwise(hull)


def _turns_right(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - b[0]) >= (c[1] - b[1]) * (b[0] - a[0])


def _solve(table: Table, hull: _Hull, x: Floats, radius: float) -> Floats:
    """One linear programme: how much of each segment to use, and by how much each budget is
    exceeded."""
    least = table.widths[:, 0].astype(np.float64)
    reach = radius * (table.widths[:, -1] - least)
    low = np.clip((x - reach - least)[hull.group] - hull.start, 0, hull.length)
    high = np.clip((x + reach - least)[hull.group] - hull.start, 0, hull.length)
    gradients = [c.gradient(x) / b for c, b in zip(table.costs, table.bounds, strict=True)]
    rows = np.stack([g[hull.group] for g in gradients])
    room = [
        1 - cost.real(x) / bound + gradient @ (x - least)
        for cost, bound, gradient in zip(table.costs, table.bounds, gradients, strict=True)
    ]
    budgets = len(table.costs)
    solved = linprog(
        np.append(hull.slope, np.full(budgets, PENALTY)),
        A_ub=np.hstack([rows, -np.eye(budgets)]),
        b_ub=np.array(room),
        bounds=np.concatenate([np.stack([low, high], axis=1), [[0, np.inf]] * budgets]),
        method="highs",
    )
    if solved.x is None:
        return x
    return least + np.bincount(hull.group, solved.x[: len(hull.group)], minlength=len(least))


def _floor(table: Table, x: Floats) -> Integers:
    below = table.widths <= x[:, None] + 1e-6
    chosen: Integers = np.clip(below.sum(axis=1) - 1, 0, table.full)
    return chosen
