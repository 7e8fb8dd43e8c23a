"""A separable function below a sum of products, for bounds.

A product of positive factors is convex in their logarithms, hence above its tangent at any point p
(as `Polynomial.separable` has it for monomials):

    f(x) g(y) >= f(p) g(q) (1 + log(f(x) / f(p)) + log(g(y) / g(q)))

A product with a factor that may vanish is at least that factor times the least of the others. A
block b, zero or one, takes off at most all: b y >= y - Y (1 - b) where y <= Y. A factor of a size
that several widths make is first put below: by a straight line, which is a polynomial in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from prunec.passes.latency.terms import Holes, Terms
from prunec.passes.polynomial import Floats, Integers

Rank1: TypeAlias = "tuple[float, dict[int, Floats]]"
"""A coefficient and, by unknown, what it is multiplied by at each of the widths."""
ROUNDING = 0.5
"""What rounding a term takes off at most."""


def separable(holes: Holes, terms: Terms, x: Integers, widths: Integers) -> tuple[Floats, float]:
    """Curves, float64[unknowns, k], and a constant, whose sum is nowhere above the terms' sum."""
    curves = np.zeros(widths.shape)
    constant = -ROUNDING * len(terms.hole)
    at = (widths == x[:, None]).argmax(axis=1)
    for coefficient, factors in _expanded(holes, terms, widths):
        constant += _add(curves, coefficient, factors, at, widths)
    return curves, constant


def _add(
    curves: Floats, c: float, factors: Mapping[int, Floats], at: Integers, widths: Integers
) -> float:
    """Put what is below one product into the curves; the constant part."""
    blocks = [v for v in factors if widths[v, 0] == 0]
    rest = {v: f for v, f in factors.items() if v not in blocks}
    if len(factors) == 1:
        ((unknown, values),) = factors.items()
        curves[unknown] += c * values
        return 0.0
    if any(factors[b][at[b]] == 0 for b in blocks):
        return 0.0
    most = c * prod(float(f.max()) for f in rest.values())
    for block in blocks:
        curves[block] -= most * (1 - np.minimum(widths[block], 1))
    if not rest:
        return c
    if len(rest) == 1:
        return _add(curves, c, rest, at, widths)
    vanishing = [v for v, f in rest.items() if f.min() <= 0]
    if vanishing:
        chosen = max(vanishing, key=lambda v: rest[v][at[v]])
        least = prod(float(f.min()) for v, f in rest.items() if v != chosen)
        curves[chosen] += c * least * rest[chosen]
        return 0.0
    here = c * prod(float(f[at[v]]) for v, f in rest.items())
    for unknown, values in rest.items():
        curves[unknown] += here * np.log(values / values[at[unknown]])
    return here


def _expanded(holes: Holes, terms: Terms, widths: Integers) -> Iterator[Rank1]:
    """Products of functions of one width each, whose sum is nowhere above the terms'."""
    known: dict[tuple[int, int], list[Rank1]] = {}
    low, high = (holes(widths[:, end][None])[0] for end in (0, -1))
    for row, starts in zip(terms.hole.tolist(), terms.start.tolist(), strict=True):
        parts: list[list[Rank1]] = []
        for hole, start in zip(row, starts, strict=True):
            if hole == holes.count:
                parts.append([(float(terms.tables[start]), {})])
                continue
            if (hole, start) not in known:
                table = terms.tables[start : start + int(high[hole]) + 1]
                known[hole, start] = _below(holes, hole, table, int(low[hole]), widths)
            parts.append(known[hole, start])
        for chosen in product(*parts):
            coefficient, factors = _times(chosen)
            if coefficient > 0:
                yield coefficient, factors


def _times(chosen: Sequence[Rank1]) -> Rank1:
    factors: dict[int, Floats] = {}
    for _, more in chosen:
        for unknown, values in more.items():
            factors[unknown] = factors[unknown] * values if unknown in factors else values
    return prod(c for c, _ in chosen), factors


def _below(holes: Holes, hole: int, table: Floats, low: int, widths: Integers) -> list[Rank1]:
    """A factor of a hole as a sum of products: itself where one width alone makes the hole."""
    rows = np.flatnonzero(holes.owner == hole)
    monomials = [
        (int(holes.coefficients[r]), [v for v in holes.index[r].tolist() if v < holes.unknowns])
        for r in rows
    ]
    if len(monomials) == 1 and len(monomials[0][1]) <= 1:
        ((coefficient, unknowns),) = monomials
        if not unknowns:
            return [(float(table[coefficient]), {})]
        return [(1.0, {unknowns[0]: table[coefficient * widths[unknowns[0]]]})]
    constant, slope = _line(table, low)
    found: list[Rank1] = [(constant, {})]
    for coefficient, unknowns in monomials:
        factors = [(1.0, {v: widths[v].astype(np.float64)}) for v in unknowns]
        scale, product_ = _times(factors)
        found.append((slope * coefficient * scale, product_))
    return [(c, f) for c, f in found if c > 0]


def _line(table: Floats, low: int) -> tuple[float, float]:
    """A constant and a slope, neither negative, of a line below the table from ``low`` on."""
    sizes = np.arange(low, len(table), dtype=np.float64)
    values = table[low:]
    if len(values) < 2:
        return float(values.min(initial=0.0)), 0.0
    slope = max(0.0, float(((values[1:] - values[0]) / (sizes[1:] - low)).min()))
    constant = float((values - slope * sizes).min())
    if constant >= 0:
        return constant, slope
    return 0.0, float((values / np.maximum(sizes, 1)).min())
