"""Latency as a cost: nanoseconds as a function of the widths, for solvers.

The latency of a model is the sum of its units, each its surface at the unit's sizes, times a
correction that whole models were measured for, plus what every node costs beside its kernel.

Real latency is not monotone: 63 channels may take longer than 64, and where a size decides which
kernel runs, much fewer may take longer than more. `Latency` says so; it does not decide. A solver
that is offered the `good_widths` of every group only, those for which nothing wider is as fast,
meets a function that grows with every width, as `CostFunction` asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, prod

import numpy as np
from numpy.typing import NDArray

from prunec.passes.latency.minorant import separable
from prunec.passes.latency.surface import BLOCK, FACTORS, Surface
from prunec.passes.latency.terms import Builder, Holes, Terms
from prunec.passes.latency.units import Units
from prunec.passes.polynomial import Floats, Integers, Monomials

PRICE = 0.5
"""A width is good if every wider one costs this share of the usual price of a channel, or more."""
REFERENCES = (1.0, 0.5)
"""The widths of all other groups, as shares, over which that is averaged."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What whole models were measured for: ``scale`` times the units, ``overhead`` for each, ns."""

    scale: float = 1.0
    overhead: float = 0.0


@dataclass(frozen=True, eq=False)
class Latency:
    """A `CostFunction` in whole nanoseconds; ``full`` are the full widths, int64[unknowns].

    It is not monotone, see the module; `real` and `gradient` smooth the stairs.
    """

    holes: Holes
    terms: Terms
    full: Integers

    @classmethod
    def compile(
        cls,
        units: Units,
        surfaces: Mapping[str, Surface],
        unknowns: Sequence[int],
        correction: Correction = Correction(),
    ) -> Latency:
        """The latency of ``units`` (those of a scope, see `Units.within`) in the widths of the
        atoms ``unknowns``; every other atom keeps its full width.

        ``surfaces`` are by signature: there is one for every unit.
        """
        sizes = dict(units.widths)
        found: dict[tuple[tuple[tuple[int, ...], int], ...], int] = {}
        monomials: list[Monomials] = []

        def hole(size: Monomials) -> int:
            key = tuple(sorted(size.items()))
            if key not in found:
                found[key] = len(monomials)
                monomials.append(size)
            return found[key]

        places = [
            ([hole(s) for s in u.sizes], [hole({(b,): 1}) for b in u.blocks]) for u in units.units
        ]
        holes = Holes.compile(monomials, unknowns, sizes)
        full = np.array([sizes.get(atom, 1) for atom in unknowns], dtype=np.int64)
        longest = holes(full[None])[0].tolist()
        builder = Builder(longest)
        for unit, (own, blocks) in zip(units.units, places, strict=True):
            _add(builder, surfaces[unit.signature], own, blocks, correction)
        return cls(holes, builder.terms(), full)

    @property
    def unknowns(self) -> int:
        return self.holes.unknowns

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Which widths it depends on: bool[unknowns]."""
        found: NDArray[np.bool_] = np.any(self.holes.depends, axis=1)
        return found

    def __call__(self, x: Integers) -> Integers:
        """Values at points: int64[..., unknowns] -> int64[...]."""
        points = x.reshape(prod(x.shape[:-1]), self.unknowns)
        return self.terms(self.holes(points)).reshape(x.shape[:-1])

    def value(self, x: Integers) -> int:
        """The value at one point, int64[unknowns]."""
        return int(self(x[None])[0])

    def curves(self, x: Integers, table: Integers) -> Integers:
        """Values when one width alone moves: int64[unknowns, k] -> int64[unknowns, k]."""
        found = np.full(table.shape, self.value(x), dtype=np.int64)
        sizes = self.holes(x[None])
        for row, part in enumerate(self._parts):
            if part is None:
                continue
            chosen, holes, terms = part
            points = np.repeat(x[None], table.shape[1], axis=0)
            points[:, row] = table[row]
            moved = np.repeat(sizes, table.shape[1], axis=0)
            moved[:, chosen] = holes(points)
            found[row] += terms(moved) - terms(sizes)
        return found

    def real(self, x: Floats) -> float:
        """The value at one real point: that of the whole point below, and along every width the
        part of the way to the next."""
        below = np.floor(x + 1e-9).astype(np.int64)
        base = self.value(below)
        steps = self.curves(below, np.minimum(below + 1, self.full)[:, None])[:, 0] - base
        return base + float((x - below) @ steps)

    def gradient(self, x: Floats) -> Floats:
        """What a channel more costs, averaged over a block to either side: float64[unknowns].

        The derivative of stairs is zero almost everywhere, so these are secants; never negative.
        """
        at = np.rint(x).astype(np.int64)
        least = np.minimum(self.full - 1, 1)  # a block, whose full width is one, may go
        ends = np.stack([np.maximum(at - BLOCK, least), np.minimum(at + BLOCK, self.full)], axis=1)
        values = self.curves(at, ends)
        rise = (values[:, 1] - values[:, 0]) / np.maximum(1, ends[:, 1] - ends[:, 0])
        found: Floats = np.maximum(rise, 0.0)
        return found

    def separable(self, x: Integers, widths: Integers) -> tuple[Floats, float]:
        """A separable minorant, see `CostFunction` and `minorant`."""
        return separable(self.holes, self.terms, x, widths)

    def good_widths(self, least: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """For every unknown the widths, from ``least`` to the full one, that nothing wider is as
        fast as: the upper edges of the stairs.

        Every wider one costs at least `PRICE` of the usual price of a channel more, per channel,
        on average over all other widths being full and being half.
        """
        longest = int(self.full.max(initial=1))
        table = np.minimum(np.arange(1, longest + 1)[None], self.full[:, None])
        others = [np.maximum(1, np.rint(self.full * s)).astype(np.int64) for s in REFERENCES]
        curves = np.stack([self.curves(x, table) for x in others]).mean(axis=0)
        found = []
        for low, end, curve in zip(least, self.full.tolist(), curves, strict=True):
            good = _edges(curve[:end])
            found.append(tuple(w for w in range(low, end + 1) if w == end or (w and good[w - 1])))
        return tuple(found)

    @cached_property
    def _parts(self) -> tuple[tuple[NDArray[np.intp], Holes, Terms] | None, ...]:
        """For every unknown the holes that it changes and the terms that those change."""
        found: list[tuple[NDArray[np.intp], Holes, Terms] | None] = []
        for depends in self.holes.depends:
            chosen = np.flatnonzero(depends)
            terms = self.terms.only(self.terms.touching(depends))
            found.append((chosen, self.holes.only(chosen), terms) if len(chosen) else None)
        return tuple(found)


def _edges(curve: Floats) -> NDArray[np.bool_]:
    """Which widths 1, 2, ... are good, given what each costs."""
    price = PRICE * max(0.0, curve[-1] - curve[0]) / max(1, len(curve) - 1)
    lowered = curve - price * np.arange(len(curve))
    wider = np.append(np.minimum.accumulate(lowered[::-1])[::-1][1:], inf)
    found: NDArray[np.bool_] = lowered < wider
    return found


def _add(
    builder: Builder,
    surface: Surface,
    own: Sequence[int],
    blocks: Sequence[int],
    correction: Correction,
) -> None:
    """The terms of one unit; in every cell, factors that are zero outside of it."""
    goes = [(at, "size", _table("size", builder.longest[at], None)) for at in blocks]
    builder.add(correction.overhead, goes)
    ranges = [_ranges(starts) for starts in surface.breaks]
    shape = tuple(len(r) for r in ranges)
    for cell, terms in enumerate(surface.cells):
        places = np.unravel_index(cell, shape) if shape else ()
        inside = [r[int(p)] for r, p in zip(ranges, places, strict=True)]
        for term in terms:
            factors = [
                (at, f"{name} {span}", _table(name, builder.longest[at], span))
                for at, name, span in zip(own, term.factors, inside, strict=True)
                if name != "one" or span is not None
            ]
            builder.add(term.coefficient * correction.scale, [*factors, *goes])


def _ranges(starts: Sequence[int]) -> list[tuple[float, float] | None]:
    """The ranges between breaks; None is everything."""
    if not starts:
        return [None]
    ends = [0.0, *map(float, starts), inf]
    return list(pairwise(ends))


def _table(name: str, largest: int, span: tuple[float, float] | None) -> Floats:
    sizes = np.arange(largest + 1, dtype=np.float64)
    found = FACTORS[name](sizes)
    return found if span is None else np.where((sizes >= span[0]) & (sizes < span[1]), found, 0.0)
