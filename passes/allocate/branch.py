"""Branch and bound: the best plan, and a proof of how much better another could be.

A node is a box of options, one range per group. Its bound is the Lagrangian dual of what is left in
the box; the points that the dual lies between, repaired, are plans. What they disagree on is split.
The node with the lowest bound comes next, so the lowest of all open nodes bounds every plan.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunec.passes.allocate import dual, refine
from prunec.passes.allocate.dual import Dual
from prunec.passes.allocate.elimination import Model
from prunec.passes.allocate.relaxation import Relaxation
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers

FEW = 256
"""Choices in a box that are looked at one by one."""
ROUNDING = 1e-9
"""Relative error that sums of floats may have."""
PATIENCE, LITTLE = 20, 0.1
"""One in so many nodes has to shrink the gap by this share, or the search ends."""
UNIT = 250_000
"""Numbers looked at that make a node; where tables are large, one box counts as many nodes."""
FAR = 0.25
"""Points that exceed a budget by more, relative to it, are not repaired."""


Improve: TypeAlias = Callable[[Table, Integers], Integers]


@dataclass(frozen=True, eq=False)
class Found:
    """The best choices, their loss, a bound of every loss, the nodes solved, and whether these were
    all that were allowed.
    """

    choice: Integers
    loss: float
    bound: float
    nodes: int
    stopped: bool


@dataclass(order=True, slots=True)
class Node:
    """A box, by its bound, then in the order of making."""

    bound: float
    number: int
    low: Integers = field(compare=False)
    high: Integers = field(compare=False)
    price: Floats | None = field(compare=False, default=None)


def run(
    table: Table, start: Integers, *, gap: float, nodes: int, improve: Improve | None = None
) -> Found:
    """Search until the relative gap is proven, or so many nodes are solved, or until nodes hardly
    help; with ``gap`` zero, only until the optimum is proven or the nodes are used up.

    ``start`` are choices that fit. If the first node does not prove the gap, they are improved on.
    """
    return _Search(table, start, gap, improve).run(nodes)


class _Search:
    def __init__(self, table: Table, start: Integers, gap: float, improve: Improve | None) -> None:
        self.table, self.gap, self.improve = table, gap, improve
        self.model = Model.build(table, start)
        self.best, self.loss = start, table.loss(start)
        self.least = np.inf  # of the bounds of all boxes that were given up
        self.made = self.solved = self.work = 0
        self.open: list[Node] = []

    @property
    def enough(self) -> float:
        """Boxes with a bound of this much hold nothing of interest."""
        return self.loss * (1 - max(self.gap, ROUNDING))

    def run(self, nodes: int) -> Found:
        self._push(0.0, self.table.least, self.table.full, None)
        mark, until = np.inf, nodes * UNIT
        while self.unfinished and self.work < min(until, nodes * UNIT):
            self._solve(heapq.heappop(self.open))
            if self.gap > 0 and self.loss - self.bound < (1 - LITTLE) * mark:
                mark, until = self.loss - self.bound, self.work + nodes * UNIT // PATIENCE
        return Found(self.best, self.loss, self.bound, self.solved, self.unfinished)

    @property
    def unfinished(self) -> bool:
        return bool(self.open) and self.open[0].bound < self.enough

    @property
    def bound(self) -> float:
        """What no plan loses less than."""
        lowest = self.open[0].bound if self.open else np.inf
        return max(0.0, min(self.least, self.loss, lowest))

    def _solve(self, node: Node) -> None:
        self.solved += 1
        relaxation = Relaxation(self.model, node.low, node.high)
        found = dual.run(relaxation, node.price, self.enough)
        self.work += relaxation.work
        # Losses and prices are floats: leave room for their rounding.
        bound = max(node.bound, found.value - ROUNDING * abs(found.value))
        for point in found.points:
            if point.excess.max() <= FAR:
                self._offer(point.choice)
        if self.improve is not None and bound < self.enough:
            self._take(self.improve(self.table, self.best))
            self.improve = None
        if bound >= self.enough:
            self.least = min(self.least, bound)
            return
        group, option = self._split(node, found)
        below, above = node.high.copy(), node.low.copy()
        below[group], above[group] = option, option + 1
        self._push(bound, node.low, below, found.price)
        self._push(bound, above, node.high, found.price)

    def _push(self, bound: float, low: Integers, high: Integers, price: Floats | None) -> None:
        """A box, made smaller without losing a plan better than the best."""
        box = self._tightened(low, high)
        if box is None:
            return
        low, high = box
        if self.table.fits(high):
            self._take(high)
        elif np.prod((high - low + 1).astype(np.float64)) <= FEW:
            self._enumerate(low, high)
        else:
            self.made += 1
            heapq.heappush(self.open, Node(bound, self.made, low, high, price))

    def _tightened(self, low: Integers, high: Integers) -> tuple[Integers, Integers] | None:
        """Without options that exceed a budget, or lose too much, whatever the others are."""
        table = self.table
        option = np.arange(table.widths.shape[1])
        while True:
            if (low > high).any():
                return None
            inside = (option >= low[:, None]) & (option <= high[:, None])
            inside = self._within(inside, low)
            losses = table.losses - table.losses[table.rows, high][:, None]
            # At equal loss there is nothing to gain either, but the best may be in this box.
            inside &= losses + table.loss(high) <= self.loss * (1 + ROUNDING)
            if not inside.any(axis=1).all():
                return None
            new_low = inside.argmax(axis=1)
            new_high = len(option) - 1 - inside[:, ::-1].argmax(axis=1)
            if np.array_equal(new_low, low) and np.array_equal(new_high, high):
                return low, high
            low, high = new_low, new_high

    def _within(self, inside: NDArray[np.bool_], low: Integers) -> NDArray[np.bool_]:
        """The options of a box that a budget may hold with: of a cost that never falls, if the
        others are narrowest; of any other, by its separable minorant.
        """
        table, found = self.table, inside.copy()
        for row, (cost, bound) in enumerate(zip(table.costs, table.bounds, strict=True)):
            below = self.model.curves[row]
            if below is None:
                found &= cost.curves(table.width(low), table.widths) <= bound
                continue
            least = np.where(inside, below, np.inf).min(axis=1)
            others = self.model.constants[row] + least.sum() - least
            found &= others[:, None] + below <= 1 + ROUNDING
        return found

    def _split(self, node: Node, found: Dual) -> tuple[int, int]:
        """The group whose losses differ most between the points, and where they part."""
        table = self.table
        choices = np.stack([p.choice for p in found.points])
        losses = table.losses[table.rows, choices]
        middle = found.weights @ losses
        spread = found.weights @ np.abs(losses - middle)
        free = node.high > node.low
        if not (free & (spread > 0)).any():
            spread = table.losses[table.rows, node.low] - table.losses[table.rows, node.high]
            choices, found = (
                np.stack([node.low, node.high]),
                Dual(0, found.price, (), np.ones(2) / 2),
            )
        group = int(np.where(free, spread, -1.0).argmax())
        width = found.weights @ table.widths[group, choices[:, group]]
        option = (
            int(np.searchsorted(table.widths[group, : table.counts[group]], width, "right")) - 1
        )
        return group, int(np.clip(option, node.low[group], node.high[group] - 1))

    # --- Plans ---

    def _offer(self, choice: Integers) -> None:
        fitting: Integers | None = choice
        if not self.table.fits(choice):
            fitting = refine.shrink(self.table, choice)
        if fitting is not None:
            self._take(refine.fill(self.table, fitting))

    def _take(self, choice: Integers) -> None:
        loss = self.table.loss(choice)
        if loss < self.loss:
            self.best, self.loss = choice, loss

    def _enumerate(self, low: Integers, high: Integers) -> None:
        """Every choice in a small box."""
        free = np.flatnonzero(high > low)
        sizes = high[free] - low[free] + 1
        choices = np.repeat(low[None], sizes.prod(), axis=0)
        choices[:, free] += np.indices(tuple(sizes)).reshape(len(free), len(choices)).T
        x, fits = self.table.width(choices), np.ones(len(choices), dtype=np.bool_)
        for cost, bound in zip(self.table.costs, self.table.bounds, strict=True):
            fits &= cost(x) <= bound
        if fits.any():
            losses = self.table.losses[self.table.rows, choices[fits]].sum(axis=1)
            self._take(choices[fits][int(losses.argmin())])
