"""Elimination, its coarse form and the dual, beside every choice; sums of products."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from prunec.passes.allocate import branch, dual, milp, relaxation
from prunec.passes.allocate.elimination import Model
from prunec.passes.allocate.relaxation import Relaxation, lower_hull
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers, Polynomial
from prunec.passes.products import Product
from prunec.passes.products import run as products
from tests.passes.allocate.instances import SHAPES, problem, with_blocks


def every_choice(low: Integers, high: Integers) -> Integers:
    return np.array(list(product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))))


def optimum(table: Table) -> float:
    choices = every_choice(table.least, table.full)
    x, fits = table.width(choices), np.ones(len(choices), dtype=np.bool_)
    for cost, bound in zip(table.costs, table.bounds, strict=True):
        fits &= cost(x) <= bound
    return float(table.losses[table.rows, choices[fits]].sum(axis=1).min())


def tables(groups: int = 4, largest: int = 6) -> list[Table]:
    found = []
    for seed, shape in enumerate(sorted(SHAPES) * 6):
        rng = np.random.default_rng(seed)
        asked = problem(rng, shape, groups, largest, budgets=1 + seed % 3)
        table = Table.build(with_blocks(rng, asked) if seed % 3 == 0 else asked)
        if table.costs:
            found.append(table)
    return found


def box(rng: np.random.Generator, table: Table) -> tuple[Integers, Integers]:
    ends = np.sort(rng.integers(0, table.counts[:, None], (len(table.counts), 2)), axis=1)
    return ends[:, 0], ends[:, 1]


def priced(table: Table, choices: Integers, price: Floats) -> Floats:
    x = table.width(choices)
    found = table.losses[table.rows, choices].sum(axis=1)
    for cost, bound, p in zip(table.costs, table.bounds, price, strict=True):
        found = found + p * (cost(x) / bound - 1)
    return found


def test_elimination_finds_the_cheapest_choices() -> None:
    rng = np.random.default_rng(0)
    for table in tables():
        low, high = box(rng, table)
        price = rng.exponential(size=len(table.costs)) * 10
        point = Relaxation(Model.build(table, table.least), low, high).minimise(price)
        best = priced(table, every_choice(low, high), price).min()
        assert point.value == pytest.approx(best)
        assert priced(table, point.choice[None], price)[0] == pytest.approx(best)
        assert (point.choice >= low).all()
        assert (point.choice <= high).all()
        assert point.excess == pytest.approx(table.usage(point.choice) - 1)


def test_options_taken_together_are_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaxation, "LIMIT", 40)
    rng = np.random.default_rng(1)
    lower = 0
    for table in tables():
        price = rng.exponential(size=len(table.costs)) * 10
        found = Relaxation(Model.build(table, table.least), table.least, table.full)
        best = priced(table, every_choice(table.least, table.full), price).min()
        value = found.minimise(price).value
        assert value <= best + 1e-9
        lower += value < best - 1e-9
    assert lower > 5


def test_branch_and_bound_is_exact_where_options_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relaxation, "LIMIT", 60)
    monkeypatch.setattr(branch, "FEW", 2)
    nodes = []
    for table in tables(5, 9):
        found = branch.run(table, table.least, gap=0, nodes=10**9)
        best = optimum(table)
        assert found.loss == pytest.approx(best, abs=1e-9)
        assert found.bound == pytest.approx(best, abs=1e-7)
        nodes.append(found.nodes)
    assert sum(nodes) > len(nodes)
    assert max(nodes) > 4


def test_the_dual_is_below_every_plan_and_above_every_price() -> None:
    rng = np.random.default_rng(2)
    for table in tables():
        found = Relaxation(Model.build(table, table.least), table.least, table.full)
        solved = dual.run(found, None, np.inf)
        best = optimum(table)
        assert solved.value <= best + 1e-9
        for _ in range(5):
            price = solved.price * rng.random(len(table.costs)) * 2
            assert found.minimise(price).value <= solved.value * (1 + 1e-4) + 1e-9
        assert solved.weights.sum() == pytest.approx(1)


def test_a_concatenation_is_one_sum() -> None:
    reads = {(0, 3): 5, (1, 3): 5, (2, 3): 5, (3,): 40}
    total = {**reads, (0,): 7}
    assert products(total, [reads]) == (
        Product(7, ((0,),)),
        Product(5, ((0, 1, 2), (3,))),
        Product(40, ((3,),)),
    )
    assert products(total) == products(total, [{(0, 3): 6, (1, 3): 6}])
    table = Table.build(problem(np.random.default_rng(3), "concatenated", groups=6))
    model = Model.build(table, table.least)
    assert len(model.sums) >= 4
    assert max(len(step.scope) for step in model.steps) <= 3


def test_products_add_up_to_the_total() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        parts = [
            {tuple(sorted(rng.integers(0, 4, rng.integers(1, 4)).tolist())): 2 for _ in range(3)}
            for _ in range(3)
        ]
        total: dict[tuple[int, ...], int] = {}
        for part in parts:
            for atoms, value in part.items():
                total[atoms] = total.get(atoms, 0) + value
        found: dict[tuple[int, ...], int] = {}
        for one in products(total, parts):
            for atoms, value in one.monomials().items():
                found[atoms] = found.get(atoms, 0) + value
        assert found == total


def test_the_hull_serves_every_slope() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        widths = np.unique(rng.integers(0, 30, 8)).astype(np.float64)
        values = rng.random(len(widths)) * 5
        x, y, slopes = lower_hull(widths, values)
        assert (np.diff(slopes) >= 0).all()
        for slope in rng.exponential(size=10):
            assert (y + slope * x).min() == pytest.approx((values + slope * widths).min())


@dataclass(frozen=True)
class Stairs:
    """A cost that is no polynomial: every width rounded up to four, in products of neighbours."""

    unknowns: int

    @property
    def touched(self) -> np.ndarray:
        return np.ones(self.unknowns, dtype=np.bool_)

    def __call__(self, x: Integers) -> Integers:
        up = -(-x // 4) * 4
        return (up[..., 1:] * up[..., :-1]).sum(axis=-1) + up.sum(axis=-1)

    def value(self, x: Integers) -> int:
        return int(self(x))

    def curves(self, x: Integers, table: Integers) -> Integers:
        points = np.repeat(np.repeat(x[None, None], len(x), 0), table.shape[1], 1)
        rows = np.arange(len(x))
        points[rows, :, rows] = table
        return self(points)

    def real(self, x: Floats) -> float:
        return float(x[1:] @ x[:-1] + x.sum())

    def gradient(self, x: Floats) -> Floats:
        padded = np.concatenate([[0], x, [0]])
        return padded[2:] + padded[:-2] + 1

    def separable(self, x: Integers, widths: Integers) -> tuple[Floats, float]:
        low = -(-widths[:, 0] // 4) * 4
        return (-(-widths // 4) * 4).astype(np.float64), float(low[1:] @ low[:-1])


def test_milp_takes_costs_that_are_no_polynomials() -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        widths = [np.arange(1, int(n) + 1) for n in rng.integers(6, 14, 3)]
        losses = [np.sort(rng.random(len(w)))[::-1] - 0.0 for w in widths]
        stairs = Stairs(3)
        full = np.array([w[-1] for w in widths])
        line = Polynomial.compile({(0,): 3, (1, 2): 2}, (0, 1, 2), dict(enumerate(full.tolist())))
        bounds = (int(stairs.value(full) * 0.5), int(line.value(full) * 0.6))
        table = Table.of(("a", "b", "c"), widths, losses, (stairs, line), bounds)
        found = milp.run(table, 0.0, 10_000)
        best = optimum(table)
        assert table.fits(found.choice)
        assert table.loss(found.choice) == pytest.approx(best)
        assert found.bound is not None
        assert found.bound <= best + 1e-9
