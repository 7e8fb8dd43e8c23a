"""Elimination orders: losses and costs of a table as terms over few variables at a time.

A cost is a sum of products of sums of widths. Every sum that occurs becomes a variable of its own,
``a + b`` of two others; then all that is left are losses of one width each, and products of a few
variables. Such a function is minimised by eliminating one variable after another (Dechter, Bucket
elimination, 1999): the minimum over a variable is a table over its neighbours. A width that only
occurs linearly needs no table of its own: given its neighbours, it is the convex conjugate of its
loss at a slope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers, Polynomial
from prunec.passes.products import Sum

Variables = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """How one variable goes: what mentions it, and the neighbours that the result is a table over.

    ``terms`` and ``inputs`` are numbers of terms, and of earlier steps. ``linear``: the variable
    occurs once in every term, and in no table beside another variable.
    """

    variable: int
    scope: Variables
    terms: Variables
    inputs: Variables
    linear: bool


@dataclass(frozen=True, eq=False)
class Model:
    """Losses and costs, all costs relative to their bounds.

    Variables are the groups of the table, then ``sums``: variable ``groups + k`` is the sum of the
    two of ``sums[k]``. A cost is its row of ``constants``, the products of ``terms`` times its row
    of ``coefficients``, float64[costs, terms], and its ``curves``, float64[groups, k] or None.
    ``steps`` eliminate all variables.
    """

    table: Table
    sums: tuple[tuple[int, int], ...]
    terms: tuple[Variables, ...]
    coefficients: Floats
    constants: Floats
    curves: tuple[Floats | None, ...]
    steps: tuple[Step, ...]

    @classmethod
    def build(cls, table: Table, at: Integers) -> Model:
        """Polynomials as they are; of any other cost a separable minorant at the choices ``at``."""
        count = len(table.costs)
        values: dict[tuple[Sum, ...], Floats] = defaultdict(lambda: np.zeros(count))
        constants = np.zeros(count)
        curves: list[Floats | None] = [None] * count
        for row, (cost, bound) in enumerate(zip(table.costs, table.bounds, strict=True)):
            if isinstance(cost, Polynomial):
                for product in cost.products:
                    values[product.factors][row] += product.coefficient / bound
            else:
                curve, constant = cost.separable(table.width(at), table.widths)
                curves[row], constants[row] = curve / bound, constant / bound
        constants += values.pop((), np.zeros(count))
        known, sums = _sums(len(table.names), {s for factors in values for s in factors})
        terms = tuple(tuple(sorted(known[s] for s in factors)) for factors in values)
        sizes = _sizes(table, sums)
        return cls(
            table,
            sums,
            terms,
            np.array(list(values.values())).reshape(len(terms), count).T,
            constants,
            tuple(curves),
            _order(terms, len(table.names), sums, sizes),
        )

    def work(self, sizes: Sequence[int]) -> int:
        """Numbers looked at when variables have so many values."""
        return sum(
            prod(sizes[v] for v in s.scope)
            * (1 if s.linear or s.variable >= len(self.table.names) else sizes[s.variable])
            for s in self.steps
        )


def _sums(groups: int, found: Iterable[Sum]) -> tuple[dict[Sum, int], tuple[tuple[int, int], ...]]:
    """A variable for every sum, made of the largest one inside of it and what is missing."""
    known: dict[Sum, int] = {(g,): g for g in range(groups)}
    made: list[tuple[int, int]] = []
    for wanted in sorted(found, key=lambda s: (len(s), s)):
        if wanted in known:
            continue
        current = max((s for s in known if set(s) <= set(wanted)), key=lambda s: (len(s), s))
        for group in sorted(set(wanted) - set(current)):
            wider = tuple(sorted((*current, group)))
            if wider not in known:
                known[wider] = groups + len(made)
                made.append((known[current], group))
            current = wider
    return known, tuple(made)


def _sizes(table: Table, sums: Sequence[tuple[int, int]]) -> list[int]:
    """How many values each variable has, at most."""
    sizes: list[int] = table.counts.tolist()
    reach: list[int] = (table.widths[:, -1] - table.widths[:, 0]).tolist()
    for a, b in sums:
        reach.append(reach[a] + reach[b])
        sizes.append(min(reach[-1] + 1, sizes[a] * sizes[b]))
    return sizes


def _order(
    terms: Sequence[Variables], groups: int, sums: Sequence[tuple[int, int]], sizes: Sequence[int]
) -> tuple[Step, ...]:
    """Always the variable that costs least next; a sum goes before what it is made of."""
    waiting = defaultdict[int, set[int]](set)
    for at, parents in enumerate(sums):
        for parent in parents:
            waiting[parent].add(groups + at)
    mentions: Mapping[int, list[int]] = defaultdict(list)
    for at, term in enumerate(terms):
        for v in set(term):
            mentions[v].append(at)
    left, steps = set(range(groups + len(sums))), list[Step]()
    open_terms, tables = set(range(len(terms))), dict[int, Variables]()
    while left:
        options = []
        for v in sorted(left):
            if waiting[v] & left:
                continue
            own = tuple(t for t in mentions[v] if t in open_terms)
            inputs = tuple(s for s, scope in tables.items() if v in scope)
            scope = {u for t in own for u in terms[t]} | {u for s in inputs for u in tables[s]}
            if v >= groups:
                scope |= set(sums[v - groups])
            scope.discard(v)
            linear = v < groups and all(terms[t].count(v) == 1 for t in own)
            linear = linear and all(len(tables[s]) == 1 for s in inputs)
            size = prod(sizes[u] for u in scope)
            work = size if linear or v >= groups else size * sizes[v]
            options.append((work, v, Step(v, tuple(sorted(scope)), own, inputs, linear)))
        _, v, step = min(options, key=lambda option: option[:2])
        open_terms.difference_update(step.terms)
        tables = {s: scope for s, scope in tables.items() if s not in step.inputs}
        if step.scope:
            tables[len(steps)] = step.scope
        steps.append(step)
        left.discard(v)
    return tuple(steps)
