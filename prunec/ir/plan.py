"""Scores and plans: which channels to keep, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prunec.ir.axis import Mask
from prunec.ir.group import Group


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """How one group is best shortened: the order of removal, and the loss that each length of it
    costs.

    ``order``: int64[size], a permutation of the channels, first to go first. ``loss``: float64[size
    + 1], non-decreasing, ``loss[k]`` is the damage after removing ``order[:k]``; ``loss[0] == 0``.
    Losses of different groups are comparable.
    """

    order: NDArray[np.int64]
    loss: NDArray[np.float64]

    def keep(self, width: int) -> tuple[int, ...]:
        """Indices kept, ascending, when ``width`` channels stay."""
        return tuple(sorted(int(k) for k in self.order[len(self.order) - width :]))


@dataclass(frozen=True, slots=True)
class Cost:
    """One cost of the plan: what, where, dense and slim values, the bound if any.

    ``scope`` is how the user wrote where, and ``paths`` are the modules there; None: everywhere.
    """

    metric: str
    scope: str | None
    dense: int
    slim: int
    bound: int | None = None
    paths: frozenset[str] | None = None

    @property
    def holds(self) -> bool:
        return self.bound is None or self.slim <= self.bound


@dataclass(frozen=True)
class Plan:
    """Which channels every group keeps. A group that is not named keeps all of its channels.

    ``objective`` is its loss, ``bound`` what no plan within the budgets can lose less than;
    ``damage`` is the measured calibration loss, where the solver measures one; ``seed`` is that of
    a solver that draws at random, ``seconds`` what it took.
    """

    keep: Mapping[str, tuple[int, ...]]
    solver: str = ""
    objective: float = 0.0
    bound: float | None = None
    costs: tuple[Cost, ...] = ()
    notes: tuple[str, ...] = field(default=())
    damage: float | None = None
    seed: int | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def gap(self) -> float | None:
        """How much of the loss a better plan could save at most; None without a bound."""
        if self.bound is None:
            return None
        return (self.objective - self.bound) / self.objective if self.objective > 0 else 0.0

    def masks(self, groups: tuple[Group, ...]) -> dict[int, Mask]:
        """Atom id -> boolean mask, for the groups that lose channels."""
        found: dict[int, Mask] = {}
        for group in groups:
            kept = self.keep.get(group.name)
            if kept is not None and len(kept) < group.size:
                found[group.atom.id] = np.zeros(group.size, dtype=bool)
                found[group.atom.id][list(kept)] = True
        return found
