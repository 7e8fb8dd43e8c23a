"""A `Problem` in numbers: what the solvers work on.

Only groups that a binding budget touches are in it; every other keeps its full width. A solution is
a vector of choices, int64[groups], each an index into the group's row of ``widths``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from prunec.passes.allocate.problem import Problem, losses
from prunec.passes.costfunction import CostFunction
from prunec.passes.polynomial import Floats, Integers

OPTIONS = 256
"""Widths looked at per group: more are thinned evenly."""


@dataclass(frozen=True, eq=False)
class Table:
    """Options and budgets.

    ``widths``: int64[groups, k] ascending, rows padded by repeating the full width; ``losses``:
    float64 of the same shape, never increasing along a row; ``counts``: int64[groups], the options
    of each. ``costs`` are functions of the widths, which must not exceed ``bounds``; a budget has
    several of them where its cost is the largest of several. ``kept`` says, for a thinned table,
    where its options are in the one that it came from.
    """

    names: tuple[str, ...]
    widths: Integers
    losses: Floats
    counts: Integers
    costs: tuple[CostFunction, ...]
    bounds: tuple[int, ...]
    kept: tuple[Integers, ...] = ()

    @classmethod
    def build(cls, problem: Problem) -> Table:
        """All allowed widths, and the budgets that the dense model exceeds: others always hold."""
        binding = [b for b in problem.budgets if problem.cost(b) > b.bound]
        touched = frozenset[int]().union(*(problem.atoms(b) for b in binding))
        groups = [
            g
            for g in problem.groups
            if g.atom.id in touched and g.name in problem.rankings and len(problem.allowed(g)) > 1
        ]
        unknowns = [g.atom.id for g in groups]
        # Costs are divided by their bounds, so one of nothing is doubled: 2 c <= 1 says c <= 0.
        rows = [(cost, b.bound or 1) for b in binding for cost in problem.functions(b, unknowns)]
        full = np.array([g.size for g in groups], dtype=np.int64)
        rows = [(cost, bound) for cost, bound in rows if cost.value(full) > bound]
        return cls.of(
            tuple(g.name for g in groups),
            [np.array(problem.allowed(g), dtype=np.int64) for g in groups],
            [losses(problem, g) for g in groups],
            tuple(cost for cost, _ in rows),
            tuple(bound for _, bound in rows),
        )

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        widths: Sequence[Integers],
        losses: Sequence[Floats],
        costs: tuple[CostFunction, ...],
        bounds: tuple[int, ...],
    ) -> Table:
        """From one array of widths and one of losses for each group."""
        longest = max(map(len, widths), default=0)
        shape = (len(names), longest)
        return cls(
            names,
            np.array([_stretched(w, longest) for w in widths], np.int64).reshape(shape),
            np.array([_stretched(v, longest) for v in losses], np.float64).reshape(shape),
            np.array([len(w) for w in widths], np.int64),
            costs,
            bounds,
        )

    def thinned(self, options: int, pareto: bool = False) -> Table:
        """At most ``options`` per group, evenly spread, the smallest width included.

        With ``pareto``, first drop every width as lossy as a smaller one.
        """
        kept = []
        for row, count in zip(self.losses, self.counts, strict=True):
            found = np.arange(count)
            if pareto:
                found = found[np.append(True, np.diff(row[:count]) < 0)]
            if len(found) > options:
                found = found[np.linspace(0, len(found) - 1, options).round().astype(np.int64)]
            kept.append(found)
        return self.only(kept)

    def only(self, kept: Sequence[Integers]) -> Table:
        """With some options of each group alone, by their indices, ascending."""
        thin = Table.of(
            self.names,
            [row[k] for row, k in zip(self.widths, kept, strict=True)],
            [row[k] for row, k in zip(self.losses, kept, strict=True)],
            self.costs,
            self.bounds,
        )
        return replace(thin, kept=tuple(kept))

    def original(self, choice: Integers) -> Integers:
        """Choices of this table as choices of the table that it was thinned from."""
        return np.array([k[c] for k, c in zip(self.kept, choice, strict=True)], dtype=np.int64)

    def nearest(self, choice: Integers) -> Integers:
        """Choices of the table that this was thinned from, rounded down: what fitted still fits."""
        pairs = zip(self.kept, choice, strict=True)
        below = [np.searchsorted(k, c, side="right") - 1 for k, c in pairs]
        return np.array(below, dtype=np.int64)

    @property
    def least(self) -> Integers:
        """The choice of the smallest widths."""
        return np.zeros(len(self.names), dtype=np.int64)

    @property
    def full(self) -> Integers:
        """The choice of the full widths."""
        return self.counts - 1

    @cached_property
    def rows(self) -> Integers:
        return np.arange(len(self.names))

    @cached_property
    def gaining(self) -> Integers:
        """For every option the next one that loses less, or the full width: int64 as ``widths``."""
        last = self.widths.shape[1] - 1
        falls = np.diff(self.losses, axis=1, append=np.inf) < 0
        after = np.where(falls, np.arange(1, last + 2), last)
        found: Integers = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
        return np.minimum(found, self.full[:, None])

    def width(self, choice: Integers) -> Integers:
        """Choices, int64[..., groups], as widths."""
        return self.widths[self.rows, choice]

    def loss(self, choice: Integers) -> float:
        """The sum of the losses."""
        return float(self.losses[self.rows, choice].sum())

    def usage(self, choice: Integers) -> Floats:
        """Cost over bound, for each row of ``costs``."""
        x = self.width(choice)
        return np.array([c.value(x) / b for c, b in zip(self.costs, self.bounds, strict=True)])

    def fits(self, choice: Integers) -> bool:
        """Whether every budget holds, exactly."""
        x = self.width(choice)
        return all(c.value(x) <= b for c, b in zip(self.costs, self.bounds, strict=True))

    def curves(self, choice: Integers) -> list[Integers]:
        """For each cost the true values when one group alone moves: int64[groups, k]."""
        x = self.width(choice)
        return [cost.curves(x, self.widths) for cost in self.costs]

    def named(self, choice: Integers) -> Mapping[str, int]:
        """Width by group."""
        return dict(zip(self.names, self.width(choice).tolist(), strict=True))


Number = TypeVar("Number", np.int64, np.float64)


def _stretched(values: NDArray[Number], length: int) -> NDArray[Number]:
    return np.pad(values, (0, length - len(values)), mode="edge")
