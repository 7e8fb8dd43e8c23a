"""The multiple-choice knapsack, also along paths: one dynamic programme, all budgets at once.

Pick one option per group so that the losses are least within a budget of whole units. The cost of
an option may depend on the option of the group before it, as the layers of a chain do:

    best[l][k][b] = loss[l][k] + min over j of best[l-1][j][b - cost[l][j, k]]

The shape of the recursion is Frantar and Alistarh's (SPDY, ICML 2022), here for costs in integers,
exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunec.passes.polynomial import Floats, Integers

OPTIONS = 256
"""Options that a group may have: back-pointers are bytes."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One group in order. ``cost``: int64[j, k] in units, given the option j of the group before.

    ``linked`` says that it depends on j; else there is one row. ``loss``: float64[k].
    """

    group: int
    loss: Floats
    cost: Integers
    linked: bool = False


@dataclass(frozen=True, eq=False)
class Family:
    """The best choices for every budget from 0 to ``capacity`` units."""

    stages: tuple[Stage, ...]
    capacity: int
    before: tuple[NDArray[np.uint8], ...]
    last: tuple[NDArray[np.uint8] | None, ...]

    def choices(self, budgets: Integers) -> Integers:
        """The choices at some budgets: int64[n] -> int64[n, groups]."""
        left = budgets.copy()
        found = np.zeros((len(budgets), len(self.stages)), dtype=np.int64)
        option = np.zeros(len(budgets), dtype=np.int64)
        for stage, before, last in zip(
            reversed(self.stages), reversed(self.before), reversed(self.last), strict=True
        ):
            if last is not None:
                option = last[left].astype(np.int64)
            found[:, stage.group] = option
            earlier = before[option, left].astype(np.int64)
            left = left - stage.cost[earlier, option]
            option = earlier
        return found


def solve(stages: Sequence[Stage], capacity: int) -> Family:
    """Solve for all budgets up to ``capacity``.

    Every group has at most `OPTIONS` options and some option within budget 0 (so costs are relative
    to the smallest). A linked stage must follow the group that it is linked to. O(capacity * sum of
    j * k) time.
    """
    best: Floats = np.zeros((1, capacity + 1))
    before: list[NDArray[np.uint8]] = []
    last: list[NDArray[np.uint8] | None] = []
    for at, stage in enumerate(stages):
        best, earlier = _step(best, stage)
        before.append(earlier)
        if at + 1 < len(stages) and stages[at + 1].linked:
            last.append(None)
            continue
        option = best.argmin(axis=0).astype(np.uint8)
        last.append(option)
        best = best.min(axis=0, keepdims=True)
    return Family(tuple(stages), capacity, tuple(before), tuple(last))


def _step(best: Floats, stage: Stage) -> tuple[Floats, NDArray[np.uint8]]:
    """best[j, b] -> best[k, b] and the j that attains it."""
    rows, options = stage.cost.shape
    length = best.shape[1]
    found = np.full((options, length), np.inf)
    if rows == 1:
        for k, cost in enumerate(stage.cost[0].tolist()):
            found[k, cost:] = best[0, : max(0, length - cost)] + stage.loss[k]
        return found, np.broadcast_to(np.uint8(0), found.shape)
    earlier = np.zeros((options, length), dtype=np.uint8)
    better = np.empty(length, dtype=np.bool_)
    for k in range(options):
        for j in range(rows):
            cost = int(stage.cost[j, k])
            if cost >= length:
                continue
            shifted, target = best[j, : length - cost], found[k, cost:]
            mask = better[cost:]
            np.less(shifted, target, out=mask)
            np.copyto(target, shifted, where=mask)
            earlier[k, cost:][mask] = j
        found[k] += stage.loss[k]
    return found, earlier
