"""Uniform: the largest keep ratio that all groups can share."""

from __future__ import annotations

import numpy as np

from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers


def run(table: Table) -> Integers:
    """Choices that fit; a group whose floor is above the ratio stays at its floor.

    The ratio is found by bisection over those at which some width changes. Widths grow with it, so
    a looser budget never loses more.
    """
    ratios = table.widths / table.widths[:, -1:]
    breaks = np.unique(ratios)
    low, high = 0, len(breaks)
    while high - low > 1:
        middle = (low + high) // 2
        if table.fits(below(table, breaks[middle])):
            low = middle
        else:
            high = middle
    return below(table, breaks[low])


def below(table: Table, ratio: float | Floats) -> Integers:
    """The widest option of every group that keeps at most ``ratio`` of it, or its narrowest.

    One ratio for all, or one for each: float64[groups, 1].
    """
    within = table.widths / table.widths[:, -1:] <= ratio
    chosen: Integers = np.minimum(np.maximum(within.sum(axis=1) - 1, 0), table.full)
    return chosen
