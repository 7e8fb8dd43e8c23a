"""Solvers with a cost that falls where a width grows: every width offered, not only the good
ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from prunec.passes.allocate import bound, dp, greedy, lp, milp, uniform
from prunec.passes.allocate.table import Table
from prunec.passes.latency import Latency, Surface, Unit, Units
from prunec.passes.latency.surface import Term
from prunec.passes.polynomial import Integers

Solver = Callable[[Table], Integers]
SOLVERS: dict[str, Solver] = {
    "uniform": uniform.run,
    "greedy": greedy.run,
    "dp": lambda table: dp.run(table, 1000).choice,
    "lp": lp.run,
    "milp": lambda table: milp.run(table, 0.0, 2000).choice,
}


def table(seed: int) -> Table:
    """A chain of four widths; convolutions that pay for padding, and one that changes kernels."""
    draw = np.random.default_rng(seed)
    sizes = {atom: int(draw.choice([8, 20, 24, 32])) for atom in range(4)}
    units, surfaces = [], {}
    for atom in range(4):
        monomials = [{(atom,): 1}] + ([{(atom + 1,): 1}] if atom < 3 else [])
        name, ways = f"u{atom}", len(monomials)
        cells = tuple(
            (
                Term(float(draw.uniform(50, 500)), ("one",) * ways),
                Term(float(draw.uniform(1, 9)), ("block",) * ways),
                Term(float(draw.uniform(1, 20)), ("padded",) + ("one",) * (ways - 1)),
            )
            for _ in range(2)
        )
        breaks = ((int(draw.integers(3, 12)),),) + ((),) * (ways - 1)
        surfaces[name] = Surface(breaks, cells)
        units.append(Unit(name, name, tuple(monomials), frozenset({name})))
    cost = Latency.compile(Units(tuple(units), sizes), surfaces, range(4))
    widths = [np.unique([*draw.integers(1, n, 5).tolist(), n]) for n in sizes.values()]
    losses = [np.sort(draw.uniform(0, 9, len(w)))[::-1] * (w < w[-1]) for w in widths]
    full = cost.value(np.array(list(sizes.values())))
    share = float(draw.uniform(0.6, 0.95))
    return Table.of(tuple("abcd"), widths, losses, (cost,), (round(share * full),))


def optimum(found: Table) -> float | None:
    every = np.array(list(product(*(range(n) for n in found.counts))))
    fits = found.costs[0](found.width(every)) <= found.bounds[0]
    losses = found.losses[found.rows, every].sum(axis=1)
    return float(losses[fits].min()) if fits.any() else None


@pytest.mark.parametrize("name", SOLVERS)
def test_budgets_hold_and_bounds_are_bounds(name: str) -> None:
    solved = 0
    for seed in range(40):
        found = table(seed)
        best = optimum(found)
        if best is None or not found.fits(found.least):
            continue
        choice = SOLVERS[name](found)
        assert found.fits(choice)
        assert found.loss(choice) >= best - 1e-9
        assert bound.run(found, choice) <= best + 1e-9
        solved += 1
    assert solved > 20


def test_the_knapsack_finds_the_best() -> None:
    gaps = []
    for seed in range(40):
        found = table(seed)
        best = optimum(found)
        if best is not None and found.fits(found.least):
            gaps.append(found.loss(SOLVERS["dp"](found)) - best)
    assert np.mean(np.array(gaps) < 1e-9) > 0.8
