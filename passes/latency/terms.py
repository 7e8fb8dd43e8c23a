"""Sums of products of tabulated factors: what a latency is made of, vectorised.

A *hole* is a size of some unit, a polynomial in the widths. A cost is

    sum over terms t of product over d of TABLE[t, d][hole[t, d]](x)

with non-negative tables. Terms of a single hole are one table; those of a pair of holes share the
factor of the first. Every term is rounded to a whole number of nanoseconds, so that sums do not
depend on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from prunec.passes.polynomial import Floats, Integers, Monomials

CHUNK = 1 << 21
"""Numbers held at once while many points are evaluated."""
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Holes:
    """Sizes as polynomials in ``unknowns`` widths: monomial m belongs to hole ``owner[m]``.

    ``index``: intp[monomials, degree]; the value ``unknowns`` pads the rows and stands for one.
    Monomials are in the order of their holes, each of which has at least one.
    """

    unknowns: int
    count: int
    owner: Index
    coefficients: Integers
    index: Index

    @classmethod
    def compile(
        cls, holes: Sequence[Monomials], unknowns: Sequence[int], sizes: dict[int, int]
    ) -> Holes:
        """Number the atoms ``unknowns`` 0, 1, ...; every other atom keeps its size."""
        position = {atom: at for at, atom in enumerate(unknowns)}
        rows: list[tuple[int, int, tuple[int, ...]]] = []
        for owner, monomials in enumerate(holes):
            folded: dict[tuple[int, ...], int] = {}
            for atoms, coefficient in monomials.items():
                free = tuple(sorted(position[a] for a in atoms if a in position))
                fixed = prod(sizes[a] for a in atoms if a not in position)
                folded[free] = folded.get(free, 0) + coefficient * fixed
            rows += [(owner, c, free) for free, c in sorted(folded.items())]
        degree = max((len(free) for *_, free in rows), default=0)
        padded = [free + (len(unknowns),) * (degree - len(free)) for *_, free in rows]
        return cls(
            len(unknowns),
            len(holes),
            np.array([o for o, *_ in rows], dtype=np.intp),
            np.array([c for _, c, _ in rows], dtype=np.int64),
            np.array(padded, dtype=np.intp).reshape(len(rows), degree),
        )

    def __call__(self, points: Integers) -> Integers:
        """int64[points, unknowns] -> int64[points, holes]."""
        if not self.count:
            return np.zeros((len(points), 0), dtype=np.int64)
        padded = np.concatenate([points, np.ones((len(points), 1), dtype=np.int64)], axis=1)
        found = np.repeat(self.coefficients[None], len(points), axis=0)
        for column in range(self.index.shape[1]):
            found *= padded[:, self.index[:, column]]
        starts = np.searchsorted(self.owner, np.arange(self.count))
        return np.add.reduceat(found, starts, axis=1)

    @cached_property
    def depends(self) -> NDArray[np.bool_]:
        """Which holes each width changes: bool[unknowns, holes]."""
        found = np.zeros((self.unknowns + 1, self.count), dtype=np.bool_)
        for column in range(self.index.shape[1]):
            found[self.index[:, column], self.owner] = True
        return found[:-1]

    def only(self, chosen: Index) -> Holes:
        """Some of the holes, in their order."""
        rows = np.isin(self.owner, chosen)
        owner = np.searchsorted(chosen, self.owner[rows])
        return Holes(self.unknowns, len(chosen), owner, self.coefficients[rows], self.index[rows])


@dataclass(frozen=True, eq=False)
class Terms:
    """``hole``: intp[terms, degree], ``start``: intp[terms, degree] into ``tables``.

    A factor is ``tables[start + size of the hole]``. Hole ``holes`` (one past the last) is always
    of size zero: with ``start`` zero, where ``tables`` holds a one, it pads the rows.
    """

    hole: Index
    start: Index
    tables: Floats

    def __call__(self, sizes: Integers) -> Integers:
        """int64[points, holes] -> int64[points], nanoseconds."""
        padded = np.concatenate([sizes, np.zeros((len(sizes), 1), dtype=np.int64)], axis=1)
        step = max(1, CHUNK // max(1, self.hole.size))
        parts = [self._values(padded[at : at + step]) for at in range(0, len(padded), step)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def _values(self, padded: Integers) -> Integers:
        found = np.ones((len(padded), len(self.hole)))
        for column in range(self.hole.shape[1]):
            at = self.start[:, column] + padded[:, self.hole[:, column]]
            found *= self.tables[at]
        result: Integers = np.rint(found).astype(np.int64).sum(axis=1)
        return result

    def only(self, rows: NDArray[np.bool_]) -> Terms:
        """Some of the terms."""
        return Terms(self.hole[rows], self.start[rows], self.tables)

    def touching(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which terms any of some holes change: bool[holes] -> bool[terms]."""
        padded: NDArray[np.bool_] = np.append(holes, False)
        found: NDArray[np.bool_] = padded[self.hole].max(axis=1)
        return found


class Builder:
    """Collects terms, merging those that differ in one factor only."""

    def __init__(self, longest: Sequence[int]) -> None:
        self.longest = longest
        self.constant = 0.0
        self.sums: dict[tuple[tuple[tuple[int, str], ...], int], Floats] = {}
        self.factors: dict[tuple[int, str], Floats] = {}

    def add(self, coefficient: float, factors: Sequence[tuple[int, str, Floats]]) -> None:
        """``coefficient`` times factors: hole, a key that names the table of the hole, the table
        itself, float64[largest size + 1].
        """
        if not factors:
            self.constant += coefficient
            return
        *others, (hole, _, table) = sorted(factors, key=lambda f: f[:2])
        for at, name, values in others:
            self.factors.setdefault((at, name), values)
        key = (tuple((at, name) for at, name, _ in others), hole)
        self.sums[key] = self.sums.get(key, 0.0) + coefficient * table

    def terms(self) -> Terms:
        tables: list[Floats] = [np.ones(1)]
        used, starts = 1, dict[tuple[int, str], int]()

        def place(values: Floats) -> int:
            nonlocal used
            tables.append(values)
            used += len(values)
            return used - len(values)

        degree = max((len(others) + 1 for others, _ in self.sums), default=1)
        pad = len(self.longest)
        holes, begin = [[pad] * degree], [[place(np.array([self.constant]))] + [0] * (degree - 1)]
        for (others, hole), values in self.sums.items():
            for key in others:
                if key not in starts:
                    starts[key] = place(self.factors[key])
            row = [hole, *(at for at, _ in others)]
            first = [place(values), *(starts[key] for key in others)]
            holes.append(row + [pad] * (degree - len(row)))
            begin.append(first + [0] * (degree - len(first)))
        return Terms(np.array(holes, np.intp), np.array(begin, np.intp), np.concatenate(tables))
