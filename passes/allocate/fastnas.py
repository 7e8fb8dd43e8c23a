"""FastNAS: no group alone may do more damage than a threshold, which is as low as the budgets let.

Each group is measured at a few widths with all others whole, the losses are made monotone and
interpolated, and the least threshold is found by bisection at which every group's smallest width
within it meets all budgets: the least worst single loss. What room is left is filled. (NVIDIA Model
Optimizer, `fastnas.py`; several budgets and the filling are ours.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prunec.passes.allocate import greedy, refine
from prunec.passes.allocate.search import Measure
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers

NEGLIGIBLE = 1e-5
"""A loss below which the wider widths of a group are not measured."""
INFINITE = 1e30
"""Stands for the loss of outputs that are not finite, so that one can interpolate."""


def run(table: Table, measure: Measure, widths: int) -> Integers:
    """Choices that fit; ``widths`` of every group are measured, the full one aside."""
    alone = replace(table, losses=sensitivities(table, measure, widths))
    found = refine.shrink(alone, within(alone, threshold(alone)))
    if found is None:
        return refine.polish(alone, greedy.run(alone))
    return refine.fill(alone, found)


def sensitivities(table: Table, measure: Measure, widths: int) -> Floats:
    """The loss of each group alone, at all of its options: float64[groups, k], never increasing."""
    found = np.zeros(table.losses.shape)
    for group, count in enumerate(table.counts.tolist()):
        at, losses = [count - 1], [0.0]
        for option in np.unique(np.linspace(0, count - 1, widths + 1).round()).tolist()[:-1]:
            choice = table.full
            choice[group] = int(option)
            at.append(int(option))
            losses.append(min(measure(choice), INFINITE))
            if losses[-1] < NEGLIGIBLE:
                break
        order = np.argsort(at)
        monotone = np.maximum.accumulate(np.array(losses)[order][::-1])[::-1]
        row = table.widths[group]
        found[group] = np.interp(row, row[np.array(at)[order]], monotone)
    return found


def threshold(alone: Table) -> float:
    """The least loss that every group may have alone so that the budgets hold."""
    levels = np.unique(alone.losses)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if alone.fits(within(alone, levels[middle])):
            high = middle
        else:
            low = middle + 1
    return float(levels[high])


def within(alone: Table, most: float) -> Integers:
    """Every group's smallest width that alone loses no more than ``most``."""
    found: Integers = (alone.losses <= most).argmax(axis=1)
    return found
