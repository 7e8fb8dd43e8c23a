"""Local moves that all solvers share: shrink until the budgets hold, fill them up, exchange.

All of them look at the true costs. Loss is weighed against cost relative to its bound, summed over
the budgets.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from prunec.passes.allocate.table import Table
from prunec.passes.costfunction import CostFunction
from prunec.passes.polynomial import Floats, Integers

Held: TypeAlias = int | Integers | None
Number = TypeVar("Number", np.int64, np.float64)
EFFORT = 1000
"""Exchanges tried at most."""
MANY = 256
"""Widths of a group that are all looked at in every step."""
DISTANCES = np.unique(np.geomspace(1, 1 << 16, 64).astype(np.int64))
"""How much wider a group of more widths may become in one step, in options."""


def shrink(table: Table, choice: Integers, hold: Held = None) -> Integers | None:
    """Take the step that loses least per true cost saved until every budget holds.

    A step is the next smaller width of one group, or where none of these saves anything, as on
    stairs, any smaller one; savings count in budgets that are still exceeded. ``hold`` is a group,
    or several, that must not move; None when the others alone cannot meet the budgets. Of a
    latency, which no width may lower where two would, the smallest widths are the last resort.
    """
    choice = choice.copy()
    while True:
        x = table.width(choice)
        broken = [
            (cost, bound)
            for cost, bound in zip(table.costs, table.bounds, strict=True)
            if cost.value(x) > bound
        ]
        if not broken:
            return choice
        down = np.maximum(choice - 1, 0)
        lower = table.widths[table.rows, down]
        saved = np.zeros(len(choice))
        for cost, bound in broken:
            now = cost.curves(x, np.stack([x, lower], axis=1))
            saved += np.maximum(now[:, 0] - now[:, 1], 0) / bound
        if hold is not None:
            saved[hold] = 0
        if saved.any():
            added = table.losses[table.rows, down] - table.losses[table.rows, choice]
            choice[_cheapest(added, saved)] -= 1
            continue
        jump = _jump(table, choice, broken, hold)
        if jump is None:
            return table.least if hold is None and table.fits(table.least) else None
        choice[jump[0]] = jump[1]


def _jump(
    table: Table, choice: Integers, broken: list[tuple[CostFunction, int]], hold: Held
) -> tuple[int, int] | None:
    """The group and the smaller option that lose least per true cost saved, if any saves."""
    saved: Floats = np.zeros(table.widths.shape)
    for cost, bound in broken:
        curve = cost.curves(table.width(choice), table.widths)
        saved += np.maximum(curve[table.rows, choice][:, None] - curve, 0) / bound
    saved[np.arange(saved.shape[1]) >= choice[:, None]] = 0
    if hold is not None:
        saved[hold] = 0
    if not saved.any():
        return None
    added = table.losses - table.losses[table.rows, choice][:, None]
    best = _cheapest(added.reshape(-1), saved.reshape(-1))
    return best // saved.shape[1], best % saved.shape[1]


def fill(table: Table, choice: Integers, hold: Held = None) -> Integers:
    """Widen the group that gains most per cost, to any width that fits, while anything gains.

    Of very many widths, those at growing distances are looked at, and the next that gains.
    """
    choice = choice.copy()
    while True:
        x, offered = table.width(choice), _offered(table, choice)
        gain: Floats = table.losses[table.rows, choice][:, None] - _taken(table.losses, offered)
        possible = gain > 0
        if hold is not None:
            possible[hold] = False
        spent = np.zeros(gain.shape)
        for cost, bound in zip(table.costs, table.bounds, strict=True):
            curve = cost.curves(x, _taken(table.widths, offered))
            possible &= curve <= bound
            spent += (curve - cost.value(x)) / bound
        if not possible.any():
            return choice
        worth: Floats = np.full(gain.shape, -1.0)
        np.divide(gain, spent, out=worth, where=possible & (spent > 0))
        worth[possible & (spent <= 0)] = np.inf
        group, at = divmod(int(worth.argmax()), worth.shape[1])
        choice[group] = at if offered is None else offered[group, at]


def _offered(table: Table, choice: Integers) -> Integers | None:
    """The wider options that `fill` looks at, int64[groups, n]; None for all of them."""
    if table.widths.shape[1] <= MANY:
        return None
    further = np.minimum(choice[:, None] + DISTANCES, table.full[:, None])
    return np.column_stack([table.gaining[table.rows, choice], further])


def _taken(values: NDArray[Number], options: Integers | None) -> NDArray[Number]:
    """Some columns of each row."""
    return values if options is None else np.take_along_axis(values, options, axis=1)


def exchange(table: Table, choice: Integers, effort: int = EFFORT) -> Integers:
    """Move one group, let the others make room or use the room, and keep what is better.

    Repeats until nothing helps; the result is never worse than ``choice``, which must fit.
    """
    best, loss = choice, table.loss(choice)
    improved = True
    while improved:
        improved = False
        for step in (1, -1, 2, -2, 4, -4, 8, -8):
            for group in range(len(choice)):
                moved = _moved(table, best, group, step)
                if moved is None:
                    continue
                if (effort := effort - 1) < 0:
                    return best
                found = shrink(table, moved, hold=group)
                if found is None:
                    continue
                found = fill(table, found, hold=group)
                found_loss = table.loss(found)
                if found_loss < loss - 1e-12 * abs(loss):
                    best, loss, improved = found, found_loss, True
    return best


def polish(table: Table, choice: Integers) -> Integers:
    """The common last step: fill, then exchange."""
    return exchange(table, fill(table, choice))


def _moved(table: Table, choice: Integers, group: int, step: int) -> Integers | None:
    option = int(choice[group]) + step
    if not 0 <= option < table.counts[group]:
        return None
    moved = choice.copy()
    moved[group] = option
    return moved


def _cheapest(added: Floats, saved: Floats) -> int:
    """The least loss per saving; of equals, the one that saves most."""
    price = np.full(len(saved), np.inf)
    np.divide(added, saved, out=price, where=saved > 0)
    return int(np.where(price == price.min(), saved, -1.0).argmax())
