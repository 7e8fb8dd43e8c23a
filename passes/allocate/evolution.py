"""Evolution: a population of plans that just meet the budgets, bred by measured loss.

The search of MetaPruning (Liu et al., ICCV 2019) without its weight generator: genes are the widths
of the groups, fitness is the calibration loss after batch norms are re-estimated. What exceeds a
budget is shrunk and what leaves room is filled, so every member uses nearly all of the tightest
budget. No plan is tried twice, and the best ever is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from prunec.passes.allocate import greedy, refine, uniform
from prunec.passes.allocate.search import Measure
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Integers

PARENTS = 0.2
"""Share of the population that has children."""
MUTATION = 0.1
"""Probability that a gene of a mutant changes."""
BAND = 0.95
"""Share of the tightest budget that a member uses, unless nothing more fits."""
PATIENCE = 20
"""Tries for one child that was not there before."""
HALVINGS = 20


@dataclass(frozen=True, eq=False)
class Member:
    """Choices that fit, and their calibration loss."""

    choice: Integers
    loss: float


def run(table: Table, measure: Measure, population: int, generations: int, seed: int) -> Integers:
    """The choices of the best member ever."""
    *_, last = populations(table, measure, population, generations, seed)
    return last[0].choice


def populations(
    table: Table, measure: Measure, population: int, generations: int, seed: int
) -> Iterator[tuple[Member, ...]]:
    """The best members so far, best first: at the start, and after every generation.

    Half of a generation's children are mutants and half crosses of the best members; where these
    give nothing new, random ones.
    """
    nursery = _Nursery(table, np.random.default_rng(seed))
    simple = refine.polish(table, greedy.run(table)), refine.fill(table, uniform.run(table))
    born = [c for c in simple if nursery.is_new(c)]
    born += nursery.some(nursery.random, population - len(born))
    best: list[Member] = []
    for _ in range(generations + 1):
        best += [Member(choice, measure(choice)) for choice in born]
        best = sorted(best, key=lambda m: m.loss)[:population]
        yield tuple(best)
        nursery.parents = [m.choice for m in best[: max(2, round(population * PARENTS))]]
        born = nursery.some(nursery.mutant, population // 2)
        born += nursery.some(nursery.cross, population // 2)
        born += nursery.some(nursery.random, population - len(born))


def mutated(choice: Integers, counts: Integers, rng: Generator) -> Integers:
    """Every gene, with the probability of a mutation, at another of its ``counts`` values."""
    child = choice.copy()
    changed = rng.random(len(child)) < MUTATION
    child[changed] = ((child + rng.integers(1, counts)) % counts)[changed]
    return child


@dataclass(eq=False)
class _Nursery:
    """Makes members that fit, none twice."""

    table: Table
    rng: Generator
    parents: list[Integers] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    def is_new(self, choice: Integers) -> bool:
        """Whether these choices are seen for the first time."""
        size = len(self.seen)
        self.seen.add(choice.tobytes())
        return len(self.seen) > size

    def some(self, make: Callable[[], Integers], count: int) -> list[Integers]:
        """At most ``count`` new members; fewer where chance finds no more."""
        found: list[Integers] = []
        while len(found) < count:
            tries = (make() for _ in range(PATIENCE))
            child = next(filter(self.is_new, tries), None)
            if child is None:
                break
            found.append(child)
        return found

    def random(self) -> Integers:
        """Random shares u, raised to the least power at which they fit."""
        shares = self.rng.random((len(self.table.names), 1))
        low, high = 0.0, 1.0
        while high < 2**20 and not self.table.fits(uniform.below(self.table, shares**high)):
            low, high = high, 2 * high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fits = self.table.fits(uniform.below(self.table, shares**middle))
            low, high = (low, middle) if fits else (middle, high)
        return self._repaired(uniform.below(self.table, shares**high))

    def mutant(self) -> Integers:
        """A parent of which some genes have another value, each other one equally likely."""
        parent = self._parent()
        child = mutated(parent, self.table.counts, self.rng)
        return self._repaired(child, np.flatnonzero(child != parent))

    def cross(self) -> Integers:
        """Every gene from either of two parents."""
        one, other = self._parent(), self._parent()
        return self._repaired(np.where(self.rng.random(len(one)) < 0.5, one, other))

    def _parent(self) -> Integers:
        return self.parents[int(self.rng.integers(len(self.parents)))]

    def _repaired(self, choice: Integers, held: Integers | None = None) -> Integers:
        """Made to fit and filled; the ``held`` genes stay as they are if that can be."""
        found = refine.shrink(self.table, choice, hold=held)
        if found is None:
            held, found = None, refine.shrink(self.table, choice)
        found = refine.fill(self.table, self.table.least if found is None else found, hold=held)
        if self.table.usage(found).max() < BAND:
            found = refine.fill(self.table, found)
        return found
