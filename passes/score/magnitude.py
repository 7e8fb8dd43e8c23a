"""Norms of the filters that make a channel (Li et al., ICLR 2017): no data, no labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunec.ir.group import Group
from prunec.ir.plan import Ranking
from prunec.passes.score.context import Context, producers, ranked, relative, slices


def run(context: Context, power: int) -> dict[str, Ranking]:
    """Rank channels by the l1 (``power=1``) or l2 (2) norm of all their producers' weights,
    relative to the group's mean.
    """
    return {g.name: ranked(relative(_norms(context, g, power))) for g in context.groups}


def _norms(context: Context, group: Group, power: int) -> NDArray[np.float64]:
    total = np.zeros(group.size)
    for place in producers(context, group):
        rows = slices(place, group, context.weights[place.weight].detach()).double()
        total += rows.abs().pow(power).sum(1).cpu().numpy()
    return np.asarray(total ** (1 / power))
