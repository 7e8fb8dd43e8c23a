"""Dynamic programming: exact where costs allow it, elsewhere on separable models of them.

- *Along paths*: one budget, and each group shares monomials with at most two others, in a line
  (plain chains, and the inner widths of residual blocks, which share none). The knapsack then knows
  the true cost. It is optimal when the room above the smallest widths, in units of the greatest
  common divisor of all costs, fits the bins; else costs round up.
- *Sequential*: each group's true cost curve, the others held, makes a separable knapsack. Of all
  its solutions, one per bin, the true costs choose the best that fits; there the next model is
  built, until nothing improves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from prunec.passes.allocate import greedy, refine, uniform
from prunec.passes.allocate.knapsack import OPTIONS, Family, Stage, solve
from prunec.passes.allocate.table import Table
from prunec.passes.polynomial import Floats, Integers, Polynomial

Paths: TypeAlias = tuple[tuple[int, ...], ...]
SEQUENTIAL_OPTIONS = 64
"""Widths per group in a separable model; the final refinement looks at all of the table's."""
WORK = 1_000_000_000
"""Elementary steps that one knapsack may take: beyond, options are thinned, then bins are fewer."""
COARSE = 10_000
"""Bins that are worth thinning the options for."""
MEMORY = 1 << 25
"""Numbers that one knapsack may hold at once."""
ROUNDS = 6
"""Models built from one start, at most."""
ALONE = 4
"""Costs that are each solved for alone, at most, where there are several."""
GRID = 128
"""Solutions of a family tried first; then all those around the best."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Choices that fit, whether it is proven that no other lose less, what to tell the user, and a
    bound of every loss if the solver has one.
    """

    choice: Integers
    optimal: bool = False
    notes: tuple[str, ...] = ()
    bound: float | None = None


def run(table: Table, bins: int) -> Solution:
    """The best choices found, never worse than greedy's; ``bins`` is the resolution of a budget.

    A looser budget never loses more where the choices are optimal; elsewhere it may.
    """
    cost = table.costs[0] if len(table.costs) == 1 else None
    paths = _paths(cost) if isinstance(cost, Polynomial) else None
    if not isinstance(cost, Polynomial) or paths is None:
        found, notes = _sequential(table, bins)
        return Solution(refine.polish(table, found), notes=notes)
    solution = _along(table, cost, paths, bins)
    if solution.optimal:
        return solution
    candidates = (refine.polish(table, solution.choice), *_simple(table))
    return replace(solution, choice=min(candidates, key=table.loss))


def _simple(table: Table) -> tuple[Integers, Integers]:
    """The baselines, polished."""
    return refine.polish(table, greedy.run(table)), refine.fill(table, uniform.run(table))


def _lowered(asked: int, used: int) -> tuple[str, ...]:
    """What to say when there are fewer bins than asked for."""
    if used >= asked:
        return ()
    return (f"dp divides the budget into {used} steps, not {asked}: more would take too long",)


def near(table: Table, point: Integers, bins: int) -> Integers:
    """Choices that fit, found from others that do: quick, for one table with many losses."""
    thin = table.thinned(SEQUENTIAL_OPTIONS, pareto=True)
    bins = min(bins, WORK // 16 // int(thin.counts.sum()), MEMORY // SEQUENTIAL_OPTIONS)
    start = thin.nearest(point)
    found = _iterate(thin, start, start, np.ones(len(table.costs)), bins)
    return refine.fill(table, thin.original(found))


# --- Along paths ---------------------------------------------------------------------------------


def _paths(cost: Polynomial) -> Paths | None:
    """The groups as lines of neighbours that share monomials; None when they do not form lines."""
    graph = nx.Graph()
    graph.add_nodes_from(range(cost.unknowns))
    for support in set(cost.supports):
        if len(support) > 2:
            return None
        if len(support) == 2:
            graph.add_edge(*support)
    if any(degree > 2 for _, degree in graph.degree):
        return None
    paths = []
    for members in sorted(map(sorted, nx.connected_components(graph))):
        ends = [v for v in members if graph.degree[v] <= 1]
        if not ends:
            return None
        paths.append(tuple(nx.dfs_preorder_nodes(graph, ends[0])))
    return tuple(paths)


def _along(table: Table, cost: Polynomial, paths: Paths, bins: int) -> Solution:
    """The knapsack of the true costs, in units that are exact where they fit the bins."""
    thin = complete = table.thinned(OPTIONS, pareto=True)
    while (longest := int(thin.counts.max())) > 16 and _work(thin, paths) * COARSE > WORK:
        thin = table.thinned(longest * 3 // 4, pareto=True)
    stages = tuple(_stages(thin, cost, paths))
    asked, bins = bins, min(bins, WORK // _work(thin, paths), MEMORY // longest)
    room = thin.bounds[0] - cost.value(thin.width(thin.least))
    unit = int(np.gcd.reduce(np.concatenate([s.cost.reshape(-1) for s in stages]))) or 1
    most = sum(int(s.cost.max()) for s in stages)
    if room // unit <= bins:
        whole = [Stage(s.group, s.loss, s.cost // unit, s.linked) for s in stages]
        capacity = min(room, most) // unit
        choice = solve(whole, capacity).choices(np.array([capacity]))[0]
        return Solution(thin.original(choice), optimal=thin is complete)
    # Round up: a budget of ``bins`` units surely holds, and the few units more may hold as well.
    coarse = -(-room // bins)
    rounded = [Stage(s.group, s.loss, -(-s.cost // coarse), s.linked) for s in stages]
    choice = thin.original(_best(thin, solve(rounded, room // coarse + len(stages))))
    return Solution(choice, notes=_lowered(min(asked, room // unit), bins))


def _stages(table: Table, cost: Polynomial, paths: Paths) -> Iterator[Stage]:
    """The groups in order, with the costs above the smallest widths."""
    alone = cost.alone(table.widths)
    shared = _shared(table, cost)
    for path in paths:
        for at, group in enumerate(path):
            count = int(table.counts[group])
            own = (alone[group] - alone[group, 0])[None, :count]
            if at:
                before = path[at - 1]
                pair = shared[before, group] if before < group else shared[group, before].T
                own = own + (pair - pair[0, 0])[: table.counts[before], :count]
            yield Stage(group, table.losses[group, :count], own, linked=at > 0)


def _shared(table: Table, cost: Polynomial) -> dict[tuple[int, int], Integers]:
    """For every pair of groups that share monomials, their value at all pairs of options."""
    found = dict[tuple[int, int], Integers]()
    rows = zip(cost.supports, cost.index.tolist(), cost.coefficients.tolist(), strict=True)
    for support, row, coefficient in rows:
        if len(support) == 2:
            a, b = support
            left = table.widths[a] ** row.count(a) * coefficient
            value = np.multiply.outer(left, table.widths[b] ** row.count(b))
            found[a, b] = found[a, b] + value if (a, b) in found else value
    return found


def _work(table: Table, paths: Paths) -> int:
    counts = table.counts.tolist()
    return sum(counts[p[0]] + sum(counts[a] * counts[b] for a, b in pairwise(p)) for p in paths)


# --- Sequential ----------------------------------------------------------------------------------


def _sequential(table: Table, bins: int) -> tuple[Integers, tuple[str, ...]]:
    """The best from several starts and, with several budgets, several weights for them."""
    starts = list(_simple(table))
    thin = table.thinned(SEQUENTIAL_OPTIONS, pareto=True)
    asked, bins = (
        bins,
        min(bins, WORK // 16 // int(thin.counts.sum()), MEMORY // SEQUENTIAL_OPTIONS),
    )
    candidates = list(starts)
    best = min((thin.nearest(s) for s in starts), key=thin.loss)
    for weights in _weights(thin.usage(best)):
        for start in (best, thin.nearest(starts[1]), thin.full):
            found = _iterate(thin, start, best, weights, bins)
            candidates.append(thin.original(found))
            best = min(best, found, key=thin.loss)
    balance = np.ones(len(table.costs))
    for _ in range(4 if len(balance) > 1 else 0):
        balance = balance * thin.usage(best) ** 4
        best = min(best, _iterate(thin, best, best, balance, bins), key=thin.loss)
    return min(*candidates, thin.original(best), key=table.loss), _lowered(asked, bins)


def _iterate(
    table: Table, start: Integers, anchor: Integers, weights: Floats, bins: int
) -> Integers:
    """Solve the separable model at a point, move there, repeat while the loss falls."""
    point, best = start, anchor
    for turn in range(ROUNDS):
        found = _best(table, _model(table, point, anchor, weights, bins))
        if turn and table.loss(found) >= table.loss(best):
            break
        point = found
        best = min(best, found, key=table.loss)
    return best


def _model(table: Table, point: Integers, anchor: Integers, weights: Floats, bins: int) -> Family:
    """The knapsack of the true cost curves at a point, weighted over the budgets.

    Its budgets reach to twice the model's cost of ``anchor``, choices that fit. Where a latency
    falls as a width grows, the model has it level.
    """
    cost = np.zeros(table.widths.shape)
    for curve, bound, weight in zip(table.curves(point), table.bounds, weights, strict=True):
        cost += (curve - curve.min(axis=1, keepdims=True)) * (weight / bound)
    total = float(cost.max(axis=1).sum())
    reach = min(total, max(2 * float(cost[table.rows, anchor].sum()), total / 16)) or 1.0
    units = np.rint(cost * (bins / reach)).astype(np.int64)
    stages = [
        Stage(group, table.losses[group, :count], units[group : group + 1, :count])
        for group, count in enumerate(table.counts.tolist())
    ]
    return solve(stages, bins)


def _best(table: Table, family: Family) -> Integers:
    """Of all solutions of a family, the one of least loss whose true costs fit."""
    grid = np.unique(np.linspace(0, family.capacity, GRID).astype(np.int64))
    fitting = grid[_fits(table, family.choices(grid))]
    if not len(fitting):
        return table.least
    reach = 2 * (family.capacity // GRID + 1)
    around = np.arange(max(0, fitting[-1] - reach), min(family.capacity, fitting[-1] + reach) + 1)
    found = family.choices(around)
    found = found[_fits(table, found)]
    losses = table.losses[table.rows, found].sum(axis=1)
    best: Integers = found[int(losses.argmin())]
    return best


def _fits(table: Table, choices: Integers) -> NDArray[np.bool_]:
    x = table.width(choices)
    found = np.ones(len(choices), dtype=np.bool_)
    for cost, bound in zip(table.costs, table.bounds, strict=True):
        found &= cost(x) <= bound
    return found


def _weights(usage: Floats) -> Iterator[Floats]:
    """All costs alike, then each alone: the `ALONE` that are nearest to their bounds."""
    yield np.ones(len(usage))
    if len(usage) > 1:
        tightest = np.sort(np.argsort(-usage, kind="stable")[:ALONE])
        yield from np.eye(len(usage))[tightest]
