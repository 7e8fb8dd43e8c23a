"""Latency as a cost: against sums computed by hand, and the promises of `CostFunction`."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from prunec.passes.latency import Correction, Latency, Surface, Unit, Units
from prunec.passes.latency.surface import FACTORS, Term
from prunec.passes.polynomial import Integers, Monomials

A, B, C, BLOCK = 1, 2, 3, 9
SURFACES = {
    "conv": Surface(
        ((), ()),
        (
            (
                Term(100.0, ("one", "one")),
                Term(3.0, ("size", "block")),
                Term(20.0, ("one", "padded")),
                Term(7.5, ("bit2", "size")),
            ),
        ),
    ),
    "cliff": Surface(
        ((7,), ()),
        ((Term(50.0, ("size", "size")), Term(9.0, ("one", "one"))), (Term(20.0, ("size", "one")),)),
    ),
    "norm": Surface(((),), ((Term(2.0, ("size",)), Term(30.0, ("one",)), Term(4.0, ("bit1",))),)),
    "fixed": Surface((), ((Term(1000.0, ()),),)),
}
SIZES = {A: 20, B: 24, C: 9, BLOCK: 1}


def unit(name: str, *sizes: Monomials, blocks: tuple[int, ...] = ()) -> Unit:
    return Unit(name, name, sizes, frozenset({name}), blocks)


def one(atom: int) -> Monomials:
    return {(atom,): 1}


UNITS = Units(
    (
        unit("conv", one(A), one(B)),
        unit("conv", one(B), {(A,): 1, (C,): 1}),
        unit("cliff", one(C), one(A), blocks=(BLOCK,)),
        unit("norm", {(A, C): 2}, blocks=(BLOCK,)),
        unit("norm", one(B)),
        unit("fixed"),
    ),
    SIZES,
)
UNKNOWNS = (A, B, C, BLOCK)


def by_hand(x: dict[int, int], correction: Correction = Correction()) -> float:  # noqa: B008
    """The sum of the units, one factor after another."""
    total = 0.0
    for u in UNITS.units:
        sizes = [sum(c * prod(x[a] for a in m) for m, c in s.items()) for s in u.sizes]
        surface = SURFACES[u.signature]
        cell = int(surface.cell(np.array([sizes], dtype=np.int64).reshape(1, len(sizes)))[0])
        time = sum(
            t.coefficient
            * prod(
                float(FACTORS[f](np.array([s], dtype=float))[0])
                for f, s in zip(t.factors, sizes, strict=True)
            )
            for t in surface[cell]
        )
        here = prod(x[b] for b in u.blocks)
        total += here * (time * correction.scale + correction.overhead)
    return total


def latency(unknowns: tuple[int, ...] = UNKNOWNS, correction: Correction | None = None) -> Latency:
    return Latency.compile(UNITS, SURFACES, unknowns, correction or Correction())


def points(count: int) -> Integers:
    draw = np.random.default_rng(1)
    return np.stack(
        [draw.integers(0 if n == 1 else 1, n + 1, count) for n in SIZES.values()], axis=1
    )


@pytest.mark.parametrize("correction", [Correction(), Correction(1.25, 400.0)])
def test_it_is_the_sum_of_the_units(correction: Correction) -> None:
    found = latency(correction=correction)
    for x in points(50):
        wanted = by_hand(dict(zip(UNKNOWNS, x.tolist(), strict=True)), correction)
        assert found.value(x) == pytest.approx(wanted, abs=len(found.terms.hole))


def test_other_atoms_keep_their_sizes() -> None:
    found = latency((B,))
    assert found.value(np.array([5])) == pytest.approx(by_hand({**SIZES, B: 5}), abs=10)


def test_many_points_are_what_each_is() -> None:
    found, x = latency(), points(12)
    assert found(x.reshape(3, 4, 4)).shape == (3, 4)
    assert found(x).tolist() == [found.value(p) for p in x]


def test_curves_move_one_width() -> None:
    found = latency()
    table = np.array([[1, 5, 20], [8, 16, 24], [1, 7, 9], [0, 1, 1]])
    for x in points(10):
        curves = found.curves(x, table)
        for row, k in product(range(4), range(3)):
            moved = x.copy()
            moved[row] = table[row, k]
            assert curves[row, k] == found.value(moved)


def test_real_is_the_value_at_whole_points_and_between_in_between() -> None:
    found = latency()
    for x in points(10):
        assert found.real(x.astype(float)) == found.value(x)
    low, high = np.array([10, 8, 5, 1]), np.array([11, 8, 5, 1])
    middle = found.real(np.array([10.5, 8, 5, 1]))
    assert middle == pytest.approx((found.value(low) + found.value(high)) / 2)


def test_a_gradient_averages_the_stairs() -> None:
    found = latency()
    gradient = found.gradient(np.array([10.0, 12.0, 8.0, 1.0]))
    assert (gradient >= 0).all()
    ends = [found.value(np.array([10, b, 8, 1])) for b in (1, 24)]
    assert gradient[1] == pytest.approx((ends[1] - ends[0]) / 23)
    gone = [found.value(np.array([10, 12, 8, b])) for b in (0, 1)]
    assert gradient[3] == gone[1] - gone[0]


def test_nothing_is_below_the_separable_minorant() -> None:
    found = latency()
    widths = np.array(
        [np.linspace(1, n, 6).round() if n > 1 else [0, 0, 0, 1, 1, 1] for n in SIZES.values()]
    ).astype(np.int64)
    every = np.array(list(product(range(6), repeat=4)))
    values = found(np.stack([widths[row, every[:, row]] for row in range(4)], axis=1))
    for choice in ([5, 5, 5, 5], [2, 3, 1, 5], [3, 0, 4, 0], [0, 0, 0, 3]):
        x = widths[np.arange(4), choice]
        curves, constant = found.separable(x, widths)
        below = constant + sum(curves[row, every[:, row]] for row in range(4))
        assert (below <= values + 1e-6).all()
        assert np.isfinite(curves).all()


def test_a_minorant_of_blocked_products_touches_at_its_point() -> None:
    units = Units((unit("conv", one(A), one(B)),), {A: 64, B: 64})
    surface = Surface(((), ()), ((Term(3.0, ("block", "block")), Term(50.0, ("one", "size"))),))
    found = Latency.compile(units, {"conv": surface}, (A, B))
    widths = np.stack([np.arange(1, 65)] * 2)
    curves, constant = found.separable(np.array([48, 32]), widths)
    assert constant + curves[0, 47] + curves[1, 31] == pytest.approx(
        found.value(np.array([48, 32])), rel=0.001
    )


def test_touched() -> None:
    assert latency().touched.tolist() == [True] * 4
    inside = Latency.compile(UNITS.within(frozenset({"cliff"})), SURFACES, UNKNOWNS)
    assert inside.touched.tolist() == [True, False, True, True]


def test_good_widths_are_the_ends_of_stairs() -> None:
    units = Units((unit("conv", one(A), one(B)),), {A: 64, B: 40})
    surface = Surface(((), ()), ((Term(3.0, ("block", "block")), Term(9.0, ("padded", "one"))),))
    found = Latency.compile(units, {"conv": surface}, (A, B)).good_widths([1, 20])
    assert found == ((16, 32, 48, 64), (32, 40))


def test_a_width_before_a_cliff_is_not_good() -> None:
    units = Units((unit("cliff", one(A)),), {A: 20})
    slow, fast = (Term(50.0, ("size",)),), (Term(20.0, ("size",)),)
    found = Latency.compile(units, {"cliff": Surface(((7,),), (slow, fast))}, (A,))
    # Seven channels take 140 ns by the other kernel, three take 150 by the first.
    (good,) = found.good_widths([1])
    assert set(range(3, 7)).isdisjoint(good)
    assert {1, 7, 20} <= set(good)


def test_a_good_width_is_dominated_by_no_wider_one() -> None:
    found = latency()
    full = np.array(list(SIZES.values()))
    for row, good in enumerate(found.good_widths([1, 1, 1, 0])):
        table = np.repeat(full[:, None], len(good), axis=1)
        table[row] = good
        half = np.maximum(1, full // 2)
        curve = found.curves(full, table)[row] + found.curves(half, table)[row]
        assert (np.diff(curve) > 0).all()


def test_a_model_of_nothing_takes_no_time() -> None:
    found = Latency.compile(Units(()), {}, (A,))
    assert found.value(np.array([3])) == 0
    assert found.curves(np.array([1]), np.array([[1]])).tolist() == [[0]]
