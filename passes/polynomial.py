"""Polynomials in the widths of atoms: what every cost is, exact in integers and vectorised.

A cost is first built as `Monomials`, a sparse mapping that adds and multiplies, and then compiled
into a `Polynomial`, numpy index arrays over a vector of unknowns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product as pairs
from math import prod
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from prunec.diagnostics import InternalError
from prunec.passes import products
from prunec.passes.products import Product

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Monomials: TypeAlias = Mapping[tuple[int, ...], int]
"""Coefficients by sorted atom ids, repeats being powers: ``{(1, 1, 2): 9}`` is ``9 a1 a1 a2``."""

ONE: Monomials = {(): 1}
_CHUNK = 1 << 22  # numbers held at once while many points are evaluated


def add(*terms: Monomials) -> Monomials:
    """The sum; equal monomials merge."""
    total: dict[tuple[int, ...], int] = {}
    for term in terms:
        for atoms, coefficient in term.items():
            total[atoms] = total.get(atoms, 0) + coefficient
    return total


def multiply(*factors: Monomials) -> Monomials:
    """The product; the empty product is one."""
    result = ONE
    for factor in factors:
        if len(result) == 1 and len(factor) == 1:
            ((left, a),), ((right, b),) = result.items(), factor.items()
            result = {tuple(sorted(left + right)): a * b}
            continue
        step: dict[tuple[int, ...], int] = {}
        for (left, a), (right, b) in pairs(result.items(), factor.items()):
            atoms = tuple(sorted(left + right))
            step[atoms] = step.get(atoms, 0) + a * b
        result = step
    return result


@dataclass(frozen=True, eq=False)
class Polynomial:
    """``sum over m of coefficients[m] * prod(x[index[m]])`` in ``unknowns`` unknowns.

    ``index``: intp[monomials, degree]; the value ``unknowns`` stands for the constant one and pads
    the rows. Coefficients are positive, so the value never decreases in any unknown. ``parts`` are
    some of the sums that it was added up from, see `products`.
    """

    unknowns: int
    coefficients: Integers
    index: NDArray[np.intp]
    parts: tuple[Monomials, ...] = ()

    @classmethod
    def compile(
        cls,
        monomials: Monomials,
        unknowns: Sequence[int],
        sizes: Mapping[int, int],
        parts: Iterable[Monomials] = (),
    ) -> Polynomial:
        """Number the atoms ``unknowns`` 0, 1, ... and fold every other atom in at its size."""
        folded = _folded(monomials, unknowns, sizes)
        largest = sum(c * prod(sizes[unknowns[v]] for v in free) for free, c in folded.items())
        if largest >= 2**62:
            raise InternalError(f"a cost of {largest} does not fit 64 bits")
        rows = sorted((free, c) for free, c in folded.items() if c)
        degree = max((len(free) for free, _ in rows), default=0)
        padded = [free + (len(unknowns),) * (degree - len(free)) for free, _ in rows]
        return cls(
            len(unknowns),
            np.array([c for _, c in rows], dtype=np.int64),
            np.array(padded, dtype=np.intp).reshape(len(rows), degree),
            tuple(_folded(part, unknowns, sizes) for part in parts),
        )

    def __call__(self, x: Integers) -> Integers:
        """Values at points: int64[..., unknowns] -> int64[...]."""
        points = x.reshape(-1, self.unknowns)
        step = max(1, _CHUNK // max(1, len(self.coefficients)))
        parts = [self._values(points[at : at + step]) for at in range(0, len(points), step)]
        found = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return found.reshape(x.shape[:-1])

    def value(self, x: Integers) -> int:
        """The value at one point, int64[unknowns]."""
        return int(self._values(x[None, :])[0])

    def curves(self, x: Integers, table: Integers) -> Integers:
        """Values when one unknown alone moves: int64[unknowns, k] -> int64[unknowns, k].

        Entry ``[v, k]`` is the value at ``x`` with ``x[v]`` replaced by ``table[v, k]``.
        """
        powers = self.along(x)
        result: Integers = np.repeat(powers[:, -1:], table.shape[1], axis=1)
        for power in range(powers.shape[1] - 2, -1, -1):
            result *= table
            result += powers[:, power : power + 1]
        return result

    def along(self, x: Integers) -> Integers:
        """The polynomial in each unknown alone, the others as in ``x``: int64[unknowns, degree +
        1].

        Entry ``[v, e]`` is the coefficient of the e-th power of unknown ``v``.
        """
        found = np.zeros((self.unknowns, self.index.shape[1] + 1), dtype=np.int64)
        entries = self._entries
        if len(entries.starts):
            rest = entries.coefficient * _padded(x)[entries.others].prod(axis=1)
            found[entries.unknown, entries.power] = np.add.reduceat(rest, entries.starts)
        moved = np.zeros(self.unknowns, dtype=np.int64)
        for power in range(found.shape[1] - 1, 0, -1):
            moved = (moved + found[:, power]) * x
        found[:, 0] = self.value(x) - moved
        return found

    def alone(self, table: Integers) -> Integers:
        """What each unknown adds apart from all others, at some values: int64[unknowns, k]."""
        single = self.part(np.array([len(s) == 1 for s in self.supports], dtype=np.bool_))
        powers = single.along(np.zeros(self.unknowns, dtype=np.int64))
        found: Integers = np.zeros(table.shape, dtype=np.int64)
        for power in range(powers.shape[1] - 1, 0, -1):
            found = (found + powers[:, power : power + 1]) * table
        return found

    def gradient(self, x: Floats) -> Floats:
        """Partial derivatives at a real point: float64[unknowns]."""
        found = np.zeros(self.unknowns)
        entries = self._entries
        if len(entries.starts):
            rest = entries.coefficient * _padded(x)[entries.others].prod(axis=1)
            sums = np.add.reduceat(rest, entries.starts)
            slopes = sums * entries.power * x[entries.unknown] ** (entries.power - 1)
            np.add.at(found, entries.unknown, slopes)
        return found

    def real(self, x: Floats) -> float:
        """The value at one real point, float64[unknowns]."""
        return float(_padded(x)[self.index].prod(axis=1) @ self.coefficients)

    @cached_property
    def supports(self) -> tuple[tuple[int, ...], ...]:
        """The distinct unknowns of every monomial, ascending."""
        return tuple(
            tuple(sorted({v for v in row if v < self.unknowns})) for row in self.index.tolist()
        )

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The polynomial as a sum of products of sums of unknowns."""
        rows = zip(self.index.tolist(), self.coefficients.tolist(), strict=True)
        total = {tuple(v for v in row if v < self.unknowns): value for row, value in rows}
        return products.run(total, self.parts)

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Which unknowns occur at all: bool[unknowns]."""
        found = np.zeros(self.unknowns + 1, dtype=np.bool_)
        found[self.index.reshape(-1)] = True
        return found[:-1]

    def part(self, rows: NDArray[np.bool_]) -> Polynomial:
        """The sum of some of the monomials: bool[monomials]."""
        return Polynomial(self.unknowns, self.coefficients[rows], self.index[rows])

    def separable(self, x: Integers, widths: Integers) -> tuple[Floats, float]:
        """A separable minorant (see `CostFunction`), equal at ``x`` if all its widths are positive.

        A monomial is convex in log x, hence above its tangent at any point p:

            m(x) >= m(p) (1 + sum over v of e_v log(x_v / p_v))

        Monomials of a single unknown need no tangent. A block, whose width b may be zero, has no
        logarithm: of a monomial b y with y <= Y it is used that b y >= y - Y (1 - b), where p has
        the block, and that b y >= 0 where it has not. (See Boyd et al., A tutorial on geometric
        programming, 2007, section 2.)
        """
        cost, may_vanish = self, widths[:, 0] == 0
        curves = cost.alone(widths).astype(np.float64)
        if may_vanish.any():
            cost, price = self._without(may_vanish, x, widths)
            curves = np.where(may_vanish[:, None], curves, cost.alone(widths))
            curves -= price[:, None] * (1 - np.minimum(widths, 1))
            x, widths = np.maximum(x, 1), np.maximum(widths, 1)
        degrees = np.array([len(s) for s in cost.supports])
        shared = cost.part(degrees > 1)
        slopes = shared.gradient(x.astype(np.float64)) * x
        tangent = slopes[:, None] * np.log(widths / x[:, None])
        constant = cost.coefficients[degrees == 0].sum() + shared.value(x)
        return curves + tangent, float(constant)

    def _without(
        self, may_vanish: NDArray[np.bool_], x: Integers, widths: Integers
    ) -> tuple[Polynomial, Floats]:
        """The cost without its blocks, and what each block that is away takes off it again at most.

        Monomials of a block alone are left out, and so are those of a block that is away at ``x``.
        """
        full = np.append(widths[:, -1], 1)
        blocks = np.append(may_vanish, False)[self.index]
        away = (np.append(x, 1)[self.index] == 0).any(axis=1)
        others = np.where(blocks, self.unknowns, self.index)
        alone = np.array([len(s) == 1 for s in self.supports], dtype=np.bool_) & blocks.any(axis=1)
        rest = ~away & ~alone
        most = self.coefficients * full[others].prod(axis=1)
        price = np.zeros(self.unknowns)
        for row in np.flatnonzero(rest & blocks.any(axis=1)):
            for block in set(self.index[row, blocks[row]].tolist()):
                price[block] += most[row]
        return Polynomial(self.unknowns, self.coefficients[rest], others[rest]), price

    def _values(self, points: Integers) -> Integers:
        padded = np.concatenate([points, np.ones((len(points), 1), dtype=np.int64)], axis=1)
        terms = np.repeat(self.coefficients[None, :], len(points), axis=0)
        for column in range(self.index.shape[1]):
            terms *= padded[:, self.index[:, column]]
        result: Integers = terms.sum(axis=1)
        return result

    @cached_property
    def _entries(self) -> _Entries:
        found = [
            (v, row.count(v), m, [self.unknowns if u == v else u for u in row])
            for m, row in enumerate(self.index.tolist())
            for v in dict.fromkeys(row)
            if v < self.unknowns
        ]
        found.sort(key=lambda entry: entry[:3])
        keys = [(v, power) for v, power, _, _ in found]
        starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
        return _Entries(
            coefficient=self.coefficients[np.array([m for _, _, m, _ in found], dtype=np.intp)],
            others=np.array([o for *_, o in found], dtype=np.intp).reshape(
                len(found), self.index.shape[1]
            ),
            starts=np.array(starts, dtype=np.intp),
            unknown=np.array([keys[i][0] for i in starts], dtype=np.intp),
            power=np.array([keys[i][1] for i in starts], dtype=np.intp),
        )


@dataclass(frozen=True, eq=False)
class _Entries:
    """Every (monomial, unknown) pair, by unknown and power; runs of equals begin at ``starts``."""

    coefficient: Integers
    others: NDArray[np.intp]
    starts: NDArray[np.intp]
    unknown: NDArray[np.intp]
    power: NDArray[np.intp]


def _folded(
    monomials: Monomials, unknowns: Sequence[int], sizes: Mapping[int, int]
) -> dict[tuple[int, ...], int]:
    """Monomials in the numbers of the unknowns."""
    position = {atom: at for at, atom in enumerate(unknowns)}
    folded: dict[tuple[int, ...], int] = {}
    for atoms, coefficient in monomials.items():
        free = tuple(sorted(position[a] for a in atoms if a in position))
        value = coefficient * prod(sizes[a] for a in atoms if a not in position)
        folded[free] = folded.get(free, 0) + value
    return folded


Number = TypeVar("Number", np.int64, np.float64)


def _padded(x: NDArray[Number]) -> NDArray[Number]:
    return np.append(x, np.ones(1, dtype=x.dtype))
