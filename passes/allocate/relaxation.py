"""The cheapest choices at given prices, within a box of options: exact, or below the exact value.

Losses and priced costs are minimised by the elimination of a `Model`. Where tables would become too
large, neighbouring options are taken together, with the loss of the widest and the cost of the
narrowest of them, so that the minimum is below the true one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from prunec.passes.allocate.elimination import Model, Step, Variables
from prunec.passes.polynomial import Floats, Integers

LIMIT = 16_000_000
"""Numbers that one minimisation may look at; beyond, options are taken together."""
OVERHEAD = 100_000
"""What one minimisation takes beside, in as many numbers."""

Hull: TypeAlias = tuple[Floats, Floats, Floats]
"""Vertices of a lower convex hull, widest first: widths, values, and the slopes between them."""


@dataclass(frozen=True, eq=False)
class Point:
    """Choices and what the relaxation makes of them.

    ``value`` is the minimum of loss and priced ``excess``, float64[costs], cost over bound minus
    one.
    """

    value: float
    loss: float
    excess: Floats
    choice: Integers


class Relaxation:
    """A model within a box: options ``low[g]`` to ``high[g]`` of every group, both included."""

    def __init__(self, model: Model, low: Integers, high: Integers) -> None:
        self.model, self.low, self.high = model, low, high
        self.groups = len(low)
        self._sizes = self._resolution()
        self.work = 0  # numbers that all minimisations have looked at
        table = model.table
        self.starts: list[Integers] = []
        self.values: list[Floats] = []
        self.losses: list[Floats] = []
        self.curves: list[list[Floats | None]] = []
        for group, size in enumerate(self._sizes[: self.groups]):
            count = int(high[group] - low[group]) + 1
            starts = np.arange(size) * count // size
            inside = slice(int(low[group]), int(high[group]) + 1)
            self.starts.append(starts + low[group])
            self.values.append(table.widths[group, inside][starts].astype(np.float64))
            self.losses.append(np.minimum.reduceat(table.losses[group, inside], starts))
            self.curves.append(
                [
                    None if c is None else np.minimum.reduceat(c[group, inside], starts)
                    for c in model.curves
                ]
            )
        self._index: dict[int, Integers] = {}
        for at, (a, b) in enumerate(model.sums):
            self._add_sum(self.groups + at, a, b)
        self._hulls: dict[int, Hull] = {}

    def minimise(self, price: Floats) -> Point:
        """The choices of least loss and priced cost; ``price``: float64[costs], not negative."""
        self.work += self.model.work(self._sizes) + OVERHEAD
        weights = price @ self.model.coefficients
        single = [
            sum(
                (p * c for p, c in zip(price, curves, strict=True) if c is not None and p),
                start=loss,
            )
            for loss, curves in zip(self.losses, self.curves, strict=True)
        ]
        tables: dict[int, Floats] = {}
        value = float(price @ (self.model.constants - 1))
        for at, step in enumerate(self.model.steps):
            if step.variable >= self.groups:
                found = self._substituted(step, tables, weights)
            elif step.linear:
                found = self._conjugate(step, tables, weights, single[step.variable])
            else:
                found = self._least(step, tables, weights, single[step.variable])
            if step.scope:
                tables[at] = found
            else:
                value += float(found)
        return self._point(value, tables, weights, single)

    # --- Setting up ---

    def _resolution(self) -> list[int]:
        """How many values each variable has, few enough for the limit."""
        model = self.model
        counts = (self.high - self.low + 1).tolist()
        widths = model.table.widths
        rows = np.arange(self.groups)
        reach = (widths[rows, self.high] - widths[rows, self.low]).tolist()
        alone = {s.variable for s in model.steps if s.linear and not s.inputs}
        most = max((c for g, c in enumerate(counts) if g not in alone), default=1)
        while True:
            sizes = [c if g in alone else min(c, most) for g, c in enumerate(counts)]
            spans = list(reach)
            for a, b in model.sums:
                spans.append(spans[a] + spans[b])
                sizes.append(min(spans[-1] + 1, sizes[a] * sizes[b], 4 * most))
            if most == 1 or model.work(sizes) <= LIMIT:
                return sizes
            most = max(1, most * 3 // 4)

    def _add_sum(self, variable: int, a: int, b: int) -> None:
        """The values of a sum, all or evenly spread, and which is the last below each ``a + b``."""
        total = self.values[a][:, None] + self.values[b][None, :]
        values = np.unique(total)
        size = min(self._sizes[variable], len(values))
        values = values[np.arange(size) * len(values) // size]
        self.values.append(values)
        self._index[variable] = np.searchsorted(values, total, side="right") - 1

    # --- Eliminating ---

    def _shaped(self, values: Floats, variable: int, scope: Variables) -> Floats:
        return values.reshape([-1 if v == variable else 1 for v in scope])

    def _sum(
        self,
        step: Step,
        tables: dict[int, Floats],
        weights: Floats,
        scope: Variables,
        without: int = -1,
    ) -> Floats:
        """All that mentions the step's variable, over a scope; terms divided by ``without``."""
        total: Floats = np.zeros([1] * len(scope))
        for term in step.terms:
            factors = np.full([1] * len(scope), weights[term])
            for v in self.model.terms[term]:
                if v != without:
                    factors = factors * self._shaped(self.values[v], v, scope)
            total = total + factors
        if without < 0:
            for at in step.inputs:
                inner = self.model.steps[at].scope
                shape = [len(self.values[v]) if v in inner else 1 for v in scope]
                total = total + tables[at].reshape(shape)
        return np.broadcast_to(total, [len(self.values[v]) for v in scope])

    def _least(
        self, step: Step, tables: dict[int, Floats], weights: Floats, single: Floats
    ) -> Floats:
        scope = tuple(sorted((*step.scope, step.variable)))
        total = self._sum(step, tables, weights, scope)
        total = total + self._shaped(single, step.variable, scope)
        found: Floats = total.min(axis=scope.index(step.variable))
        return found

    def _conjugate(
        self, step: Step, tables: dict[int, Floats], weights: Floats, single: Floats
    ) -> Floats:
        """min over w of single(w) + slope w, the slope by the neighbours."""
        slope = self._sum(step, tables, weights, step.scope, without=step.variable)
        widths, values, slopes = self._hull(step, tables, single)
        breaks = np.concatenate([[0.0], slopes, [max(float(slope.max()), *slopes[-1:], 0.0)]])
        vertex = np.append(np.arange(len(widths)), len(widths) - 1)
        least = values[vertex] + breaks * widths[vertex]
        found: Floats = np.interp(slope.reshape(-1), breaks, least).reshape(slope.shape)
        return found

    def _hull(self, step: Step, tables: dict[int, Floats], single: Floats) -> Hull:
        v = step.variable
        fixed = not step.inputs and all(c is None for c in self.curves[v])
        if fixed and v in self._hulls:
            return self._hulls[v]
        found = lower_hull(self.values[v], sum((tables[at] for at in step.inputs), start=single))
        if fixed:
            self._hulls[v] = found
        return found

    def _substituted(self, step: Step, tables: dict[int, Floats], weights: Floats) -> Floats:
        """A sum replaced by what it is the sum of."""
        v, (a, b) = step.variable, self.model.sums[step.variable - self.groups]
        used = {u for t in step.terms for u in self.model.terms[t]}
        used |= {u for s in step.inputs for u in self.model.steps[s].scope}
        scope = tuple(sorted(used | {v}))
        total = self._sum(step, tables, weights, scope)
        index = self._index[v] if a < b else self._index[v].T
        shape = [len(self.values[u]) if u in (a, b) else 1 for u in step.scope]
        places = [
            index.reshape(shape)
            if u == v
            else np.arange(len(self.values[u])).reshape([-1 if w == u else 1 for w in step.scope])
            for u in scope
        ]
        found: Floats = np.broadcast_to(
            total[tuple(places)], [len(self.values[u]) for u in step.scope]
        )
        return found

    # --- The choices ---

    def _point(
        self, value: float, tables: dict[int, Floats], weights: Floats, single: list[Floats]
    ) -> Point:
        at = np.zeros(len(self.values), dtype=np.int64)
        width = np.zeros(len(self.values))
        for step in reversed(self.model.steps):
            v = step.variable
            if v >= self.groups:
                a, b = self.model.sums[v - self.groups]
                at[v] = self._index[v][at[a], at[b]]
            else:
                total = single[v]
                for term in step.terms:
                    total = total + weights[term] * prod(
                        self.values[v] if u == v else width[u] for u in self.model.terms[term]
                    )
                for s in step.inputs:
                    inner = self.model.steps[s].scope
                    total = (
                        total + tables[s][tuple(slice(None) if u == v else at[u] for u in inner)]
                    )
                at[v] = int(total.argmin())
            width[v] = self.values[v][at[v]]
        excess = self.model.constants - 1
        if self.model.terms:
            products = [width[list(term)].prod() for term in self.model.terms]
            excess = excess + self.model.coefficients @ np.array(products)
        for row, curve in enumerate(self.model.curves):
            if curve is not None:
                own = (self.curves[g][row] for g in range(self.groups))
                excess[row] += sum(c[at[g]] for g, c in enumerate(own) if c is not None)
        loss = sum(float(self.losses[g][at[g]]) for g in range(self.groups))
        choice = np.array([s[i] for s, i in zip(self.starts, at, strict=False)], dtype=np.int64)
        return Point(value, loss, excess, choice)


def lower_hull(widths: Floats, values: Floats) -> Hull:
    """Of points of ascending width, the vertices of the lower hull that slopes >= 0 can choose."""
    slopes = np.diff(values) / np.diff(widths)
    if not np.all(np.diff(slopes) >= 0):
        kept: list[int] = []
        points = list(zip(widths.tolist(), values.tolist(), strict=True))
        for at, (x, y) in enumerate(points):
            while len(kept) > 1:
                (x0, y0), (x1, y1) = points[kept[-2]], points[kept[-1]]
                if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
                    break
                kept.pop()
            kept.append(at)
        widths, values = widths[kept], values[kept]
        slopes = np.diff(values) / np.diff(widths)
    falling = slopes < 0
    end = int(falling.sum()) + 1
    return widths[:end][::-1], values[:end][::-1], -slopes[: end - 1][::-1]
