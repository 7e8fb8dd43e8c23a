"""The grid: the width settings of a model at which its units are measured.

Every setting gives one point of each unit, in place, so random widths make a scattered grid of
every unit at once (a unit that the model has eighteen times gets eighteen points from each). The
first settings are uniform: all groups at the same share. Of the others, each has a share of its own
from `SMALLEST` up, small ones more often, around which its groups scatter; many widths are
multiples of 16 or 8, where the stairs have their edges.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from prunec.ir.group import Group
from prunec.ir.plan import Plan

UNIFORM = (1.0, 0.75, 0.5, 0.25, 0.1)
SCATTERED = 91
COUNT = len(UNIFORM) + SCATTERED
SMALLEST = 0.05
SMALL = 1.5
"""The power of a uniform draw that makes small shares more frequent."""
ALIGNED = ((0.4, 16), (0.6, 8))
"""Up to this share of the draws, widths are rounded up to a multiple of this."""
EVERY = 8
"""Every so many scattered settings the whole model is measured too."""


def widths(groups: Sequence[Group], at: int) -> dict[str, int]:
    """The widths of setting ``at``, by group."""
    if at < len(UNIFORM):
        return {g.name: max(_least(g), round(g.size * UNIFORM[at])) for g in groups}
    draw = random.Random(at)
    share = SMALLEST + (1 - SMALLEST) * draw.random() ** SMALL
    return {g.name: _width(g, share * draw.uniform(0.5, 1.5), draw) for g in groups}


def is_whole(at: int) -> bool:
    """Whether the whole model is measured at a setting."""
    return at < len(UNIFORM) or at % EVERY == 0


def plan(groups: Sequence[Group], at: int) -> Plan:
    """A setting as a plan: which channels stay does not matter, how many does."""
    found = widths(groups, at)
    sizes = {g.name: g.size for g in groups}
    return Plan({n: tuple(range(w)) for n, w in found.items() if w < sizes[n]})


def _least(group: Group) -> int:
    return max(1, group.least)


def _width(group: Group, share: float, draw: random.Random) -> int:
    width = min(group.size, max(_least(group), round(group.size * share)))
    kind = draw.random()
    for below, multiple in ALIGNED:
        if kind < below:
            return min(group.size, -(-width // multiple) * multiple) if width > multiple else width
    return width
