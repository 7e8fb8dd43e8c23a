"""Surfaces: the time of one unit as a function of its sizes, through what was measured.

A kernel works in vectors and blocks: its time is nearly constant between multiples of a block and
then steps. So the time is modelled as a sum of products of steps, one factor per size,

    t(a, b, ...) = sum over terms of c * f(a) * g(b) * ...,   c >= 0,

where a factor is one of `SMOOTH` (the constant, the size itself, the size rounded up to a block) or
one of `EDGES`, what is added where the size is no multiple: a convolution pads the last block, a
matrix product has kernels for 8, 4, 2 rows and 1 row, and runs one for every bit of what is left.
Where a size decides which kernel runs (``breaks``), each range has coefficients of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from prunec.passes.latency import robust
from prunec.passes.polynomial import Floats, Integers

BLOCK = 16
"""Numbers in a block of oneDNN on AVX-512; a multiple of what narrower vectors hold."""


def _rounded(size: Floats) -> Floats:
    return np.ceil(size / BLOCK) * BLOCK


def _bit(value: int) -> Callable[[Floats], Floats]:
    return lambda size: (size % (2 * value) >= value).astype(np.float64)


SMOOTH: Mapping[str, Callable[[Floats], Floats]] = {
    "one": np.ones_like,
    "size": lambda size: size,
    "block": _rounded,
}
EDGES: Mapping[str, Callable[[Floats], Floats]] = {
    "padded": lambda size: np.where(size % BLOCK != 0, _rounded(size), 0.0),
    "bit1": _bit(1),
    "bit2": _bit(2),
    "bit4": _bit(4),
    "bit8": _bit(8),
}
FACTORS: Mapping[str, Callable[[Floats], Floats]] = {**SMOOTH, **EDGES}
"""What a size may contribute, by name."""
EDGED = 2
"""Sizes of a unit up to which edges are looked for; of more, only smooth factors are tried."""
MIXED = 3
"""Sizes up to which there are products; of more (a concatenation of many), each has terms alone."""


@dataclass(frozen=True, slots=True)
class Term:
    """``coefficient * product of factors``, one factor (by name) per size."""

    coefficient: float
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Surface:
    """The time of a unit, in nanoseconds: one list of terms for every cell of the ``breaks``.

    ``breaks`` has, for every size, the ascending sizes from which another kernel runs. ``cells`` is
    in the order of the cells, the last size fastest.
    """

    breaks: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[Term, ...], ...]

    def __call__(self, sizes: Integers) -> Floats:
        """Times at some sizes: int64[n, sizes] -> float64[n]."""
        cell = self.cell(sizes)
        found = np.zeros(len(sizes))
        for at in np.unique(cell):
            rows = cell == at
            found[rows] = sum(_column(t.factors, sizes[rows]) * t.coefficient for t in self[at])
        return found

    def __getitem__(self, cell: int) -> tuple[Term, ...]:
        return self.cells[cell]

    def cell(self, sizes: Integers) -> NDArray[np.intp]:
        """The cell that each row of sizes lies in."""
        return _cells(self.breaks, sizes)


def fit(sizes: Integers, times: Floats, breaks: Sequence[Sequence[int]] = ()) -> Surface:
    """The surface through measured times.

    Args:
        sizes: int64[points, sizes].
        times: float64[points], nanoseconds, positive.
        breaks: for every size, where another kernel begins; empty where there are none.
    """
    chosen = tuple(tuple(b) for b in breaks) or ((),) * sizes.shape[1]
    cell = _cells(chosen, sizes)
    count = int(np.prod([len(b) + 1 for b in chosen]))
    everything = _fit(sizes, times)
    return Surface(
        chosen,
        tuple(
            _fit(sizes[cell == at], times[cell == at]) if (cell == at).any() else everything
            for at in range(count)
        ),
    )


def _cells(breaks: Sequence[Sequence[int]], sizes: Integers) -> NDArray[np.intp]:
    found = np.zeros(len(sizes), dtype=np.intp)
    for column, starts in enumerate(breaks):
        found *= len(starts) + 1
        found += np.searchsorted(np.asarray(starts), sizes[:, column], side="right")
    return found


def _fit(sizes: Integers, times: Floats) -> tuple[Term, ...]:
    columns = sizes.shape[1]
    names = _products(columns)
    found = robust.fit(np.stack([_column(n, sizes) for n in names], axis=1), times)
    terms = zip(names, found.tolist(), strict=True)
    return tuple(Term(c, name) for name, c in terms if c > 0)


@cache
def _products(columns: int) -> list[tuple[str, ...]]:
    """The products that are tried: at most one of the factors is an edge."""
    smooth = list(SMOOTH)
    if columns > MIXED:
        alone = [("one",) * at + ("size",) for at in range(columns)]
        return [("one",) * columns, *((*a, *("one",) * (columns - len(a))) for a in alone)]
    found = list(product(smooth, repeat=columns))
    for at in range(columns if columns <= EDGED else 0):
        for others in product(smooth, repeat=columns - 1):
            found += [(*others[:at], edge, *others[at:]) for edge in EDGES]
    return found


def _column(factors: tuple[str, ...], sizes: Integers) -> Floats:
    found = np.ones(len(sizes))
    for at, name in enumerate(factors):
        found *= FACTORS[name](sizes[:, at].astype(np.float64))
    return found
