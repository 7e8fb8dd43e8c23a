"""Timed: latency by the interface of `Costs`, from the units of a model and what each takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from prunec.ir.graph import Graph
from prunec.ir.group import Branch, Group
from prunec.passes import drop
from prunec.passes.cost import Scope
from prunec.passes.costfunction import CostFunction
from prunec.passes.latency import Correction, Latency, Surface, Units
from prunec.passes.polynomial import Integers


@dataclass(frozen=True, eq=False)
class Timed:
    """What a model takes on one device, in whole nanoseconds.

    ``surfaces`` has one for the signature of every unit. ``branches`` are those of ``graph`` that
    may go, by the atoms of their blocks and layers.
    """

    units: Units
    surfaces: Mapping[str, Surface]
    correction: Correction = field(default_factory=Correction)
    graph: Graph | None = None
    branches: Mapping[int, tuple[Branch, ...]] = field(default_factory=dict)
    _known: dict[Scope, Latency] = field(default_factory=dict, init=False, repr=False)

    def atoms(self, scope: Scope = None) -> frozenset[int]:
        """The atoms that the time depends on."""
        found = self._whole(scope)
        return frozenset(a for a, on in zip(self.units.widths, found.touched, strict=True) if on)

    def compiled(self, unknowns: Sequence[int], scope: Scope = None) -> tuple[CostFunction, ...]:
        """The time as a function of the widths of some atoms, all others full."""
        return (self._compile(unknowns, scope),)

    def total(self, widths: Mapping[int, int] | None = None, scope: Scope = None) -> int:
        """The time with ``widths`` (atom id -> kept channels, absent: all)."""
        kept = {**self.units.widths, **(widths or {})}
        return self._whole(scope).value(_row(kept[a] for a in self.units.widths))

    def remaining(self, widths: Mapping[int, int], scope: Scope = None) -> int:
        """The time, without what nothing needs any more once several blocks are gone."""
        gone = [found for atom, found in self.branches.items() if widths.get(atom) == 0]
        if len(gone) < 2 or self.graph is None:
            return self.total(widths, scope)
        left = drop.run(self.graph, chain.from_iterable(gone)).node
        units = replace(self.units, units=tuple(u for u in self.units.units if u.node in left))
        return replace(self, units=units).total(widths, scope)

    def good_widths(self, groups: Collection[Group]) -> dict[str, tuple[int, ...]]:
        """By group, the widths that nothing wider is about as fast as; only groups whose width the
        time depends on.
        """
        touched = self.atoms()
        own = [g for g in groups if g.atom.id in touched and not g.branches]
        found = self._compile([g.atom.id for g in own], None).good_widths([1] * len(own))
        return {g.name: widths for g, widths in zip(own, found, strict=True)}

    def _whole(self, scope: Scope) -> Latency:
        if scope not in self._known:
            self._known[scope] = self._compile(tuple(self.units.widths), scope)
        return self._known[scope]

    def _compile(self, unknowns: Sequence[int], scope: Scope) -> Latency:
        units = self.units.within(scope)
        return Latency.compile(units, self.surfaces, unknowns, self.correction)


def _row(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)
