"""Polynomials: exact against plain Python integers."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from prunec.diagnostics import InternalError
from prunec.passes.polynomial import ONE, Monomials, Polynomial, add, multiply


def value(monomials: Monomials, at: dict[int, int]) -> int:
    return sum(c * prod(at[a] for a in atoms) for atoms, c in monomials.items())


def random_monomials(rng: np.random.Generator, atoms: int, terms: int) -> Monomials:
    rows = [
        tuple(sorted(rng.integers(0, atoms, int(rng.integers(0, 4))).tolist()))
        for _ in range(terms)
    ]
    return add(*({row: int(rng.integers(1, 100))} for row in rows))


def test_sums_and_products_merge_equal_monomials() -> None:
    x: Monomials = {(1,): 1}
    y: Monomials = {(2,): 3}
    assert add(x, y, x) == {(1,): 2, (2,): 3}
    assert multiply(add(x, y), add(x, y)) == {(1, 1): 1, (1, 2): 6, (2, 2): 9}
    assert multiply() == ONE
    assert multiply(x, ONE, y) == {(1, 2): 3}


@pytest.mark.parametrize("seed", range(30))
def test_values_curves_and_gradients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    monomials = random_monomials(rng, atoms=5, terms=12)
    sizes = {a: int(rng.integers(1, 50)) for a in range(5)}
    compiled = Polynomial.compile(monomials, (0, 1, 2, 3, 4), sizes)
    x = np.array([rng.integers(1, n + 1) for n in sizes.values()])
    assert compiled.value(x) == value(monomials, dict(enumerate(x.tolist())))
    table = rng.integers(1, 50, (5, 7))
    curves = compiled.curves(x, table)
    gradient = compiled.gradient(x.astype(float))
    for v in range(5):
        for k in range(7):
            moved = {**dict(enumerate(x.tolist())), v: int(table[v, k])}
            assert curves[v, k] == value(monomials, moved)
        step = np.eye(5)[v] * 1e-5
        slope = (compiled.real(x + step) - compiled.real(x - step)) / 2e-5
        assert gradient[v] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_many_points_are_evaluated_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    monomials = random_monomials(rng, atoms=3, terms=9)
    compiled = Polynomial.compile(monomials, (0, 1, 2), dict.fromkeys(range(3), 40))
    points = rng.integers(1, 40, (5, 6, 3))
    found = compiled(points)
    assert found.shape == (5, 6)
    assert found.reshape(-1).tolist() == [compiled.value(x) for x in points.reshape(-1, 3)]


def test_other_atoms_are_folded_in_at_their_size() -> None:
    compiled = Polynomial.compile({(1, 2): 3, (2,): 5, (): 7}, (2,), {1: 10, 2: 4})
    assert len(compiled.coefficients) == 2
    assert compiled.value(np.array([2])) == 3 * 10 * 2 + 5 * 2 + 7


def test_what_an_unknown_costs_alone() -> None:
    compiled = Polynomial.compile({(0,): 2, (0, 0): 3, (0, 1): 5, (): 9}, (0, 1), {0: 9, 1: 9})
    assert compiled.alone(np.array([[1, 4], [1, 4]])).tolist() == [[5, 56], [0, 0]]


def test_a_constant_and_an_empty_polynomial() -> None:
    constant = Polynomial.compile({(): 7}, (0,), {0: 3})
    assert constant.value(np.array([2])) == 7
    assert constant.curves(np.array([2]), np.array([[1, 3]])).tolist() == [[7, 7]]
    assert constant.gradient(np.array([2.0])).tolist() == [0.0]
    empty = Polynomial.compile({}, (0,), {0: 3})
    assert empty.value(np.array([2])) == 0


def test_a_cost_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InternalError, match="64 bits"):
        Polynomial.compile({(0, 0): 1}, (0,), {0: 2**31})
