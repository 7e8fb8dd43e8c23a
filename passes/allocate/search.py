"""Search over the weights of the groups' losses: which dp's plan is best when it is measured.

SPDY's outer search (Frantar and Alistarh, ICML 2022): losses of different groups are only roughly
comparable, so each group's is multiplied by a coefficient in (0, 1], the knapsack is solved again,
and the coefficients are chosen whose plan has the least calibration loss. First all ones, which is
plain dp; then some random ones; then a few of the best ones are drawn anew, from a tenth of all
groups down to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from prunec.passes.allocate import dp
from prunec.passes.allocate.dp import Solution
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers

Measure: TypeAlias = Callable[[Integers], float]
"""The calibration loss of choices."""
RANDOM = 0.25
"""Share of the tries that are random throughout."""
PATIENCE = 5
"""Draws for one try: many coefficients give a plan that was there before, which is not measured."""
SHARE = 0.1
"""Largest share of the coefficients that is drawn anew."""


def run(table: Table, bins: int, measure: Measure, tries: int, seed: int) -> Solution:
    """The best of plain dp's choices and those of at most ``tries`` other coefficients."""
    plain = dp.run(table, bins)
    found = improvements(table, plain.choice, measure, bins=bins, tries=tries, seed=seed)
    *_, (choice, _) = found
    return replace(plain, choice=choice, optimal=plain.optimal and choice is plain.choice)


def improvements(
    table: Table, start: Integers, measure: Measure, *, bins: int, tries: int, seed: int
) -> Iterator[tuple[Integers, float]]:
    """``start``, then every better choice that is found, with its measured loss."""
    rng = np.random.default_rng(seed)
    groups = len(table.names)
    best, choice, loss = np.ones(groups), start, measure(start)
    yield choice, loss
    seen = {start.tobytes()}
    for count in _schedule(groups, tries):
        for _ in range(PATIENCE):
            tried = best.copy()
            drawn = rng.permutation(groups)[:count]
            tried[drawn] = 1 - rng.random(len(drawn))
            found = dp.near(weighted(table, tried), start, bins)
            if found.tobytes() not in seen:
                break
        else:
            continue
        seen.add(found.tobytes())
        if (found_loss := measure(found)) < loss:
            best, choice, loss = tried, found, found_loss
            yield choice, loss


def weighted(table: Table, coefficients: Floats) -> Table:
    """The table with every group's losses times its coefficient."""
    return replace(table, losses=table.losses * coefficients[:, None])


def _schedule(groups: int, tries: int) -> Iterator[int]:
    """How many coefficients each try draws."""
    random = min(round(tries * RANDOM), 100)
    yield from [groups] * random
    radii = np.arange(int(np.ceil(groups * SHARE)), 0, -1)
    for radius, part in zip(
        radii, np.array_split(np.arange(tries - random), len(radii)), strict=True
    ):
        yield from [int(radius)] * len(part)
