"""Costs: exact multiply-adds and parameters of a model as functions of its kept widths.

The MACs of an operator are a product of its axis sizes and a parameter has the product of its
sizes, so a cost is a polynomial in the widths of the atoms; what goes with a residual branch is
multiplied by the atoms of its block and of its layer, which are 1 or 0. Counts are for one sample:
a dynamic batch size counts as one, every other dynamic size as in the example. What torch's
`FlopCounterMode` counts is twice what stands here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import numpy as np

from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Branch, Group
from prunec.passes import drop, macs
from prunec.passes.costfunction import CostFunction
from prunec.passes.polynomial import Monomials, Polynomial, add, multiply
from prunec.passes.sizes import Sizes

Metric = Literal["macs", "params", "weights", "activations", "memory", "channels"]
"""What can be bounded (`Costs` says what each counts), apart from the latency on a device."""


@dataclass(frozen=True)
class Term:
    """The cost of one node (MACs) or one parameter, and the module paths that it belongs to."""

    name: str
    metric: Metric
    owners: frozenset[str]
    monomials: Monomials


@dataclass(frozen=True, eq=False)
class Costs:
    """What a model costs, term by term. ``sizes`` are the full widths of the atoms that occur.

    ``branches`` are those of ``graph`` that may go, by the atoms of their blocks and layers.
    """

    terms: tuple[Term, ...]
    sizes: Mapping[int, int]
    graph: Graph | None = None
    branches: Mapping[int, tuple[Branch, ...]] = field(default_factory=dict)
    _compiled: dict[tuple[Metric, frozenset[str] | None], tuple[CostFunction, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def functions(
        self, metric: Metric, scope: frozenset[str] | None = None
    ) -> tuple[Monomials, ...]:
        """Sums of products of atoms; the cost is the largest of them. At least one.

        With ``scope``, only what the modules at these paths, and all below them, compute or own.
        """
        found = add(
            *(
                term.monomials
                for term in self.terms
                if term.metric == metric and (scope is None or _within(term.owners, scope))
            )
        )
        return (found,)

    def atoms(self, metric: Metric, scope: frozenset[str] | None = None) -> frozenset[int]:
        """The atoms that a cost depends on."""
        sums = self.functions(metric, scope)
        return frozenset(atom for each in sums for monomial in each for atom in monomial)

    def compiled(
        self,
        metric: Metric,
        unknowns: Sequence[int],
        scope: frozenset[str] | None = None,
        times: int = 1,
    ) -> tuple[CostFunction, ...]:
        """The cost, ``times`` a factor, as functions of the widths of some atoms, all others full.

        The cost is the largest of them.
        """
        factor: Monomials = {(): times}
        return tuple(
            Polynomial.compile(multiply(each, factor), unknowns, self.sizes)
            for each in self.functions(metric, scope)
        )

    def total(
        self,
        metric: Metric,
        widths: Mapping[int, int] | None = None,
        scope: frozenset[str] | None = None,
    ) -> int:
        """The exact cost with ``widths`` (atom id -> kept channels, absent: all).

        What several blocks share, and nothing else needs, counts even if all of them go: see
        `remaining`.
        """
        found = self._compiled.get((metric, scope))
        if found is None:
            found = self.compiled(metric, tuple(self.sizes), scope)
            self._compiled[metric, scope] = found
        kept = self.sizes if widths is None else {**self.sizes, **widths}
        x = np.array([kept[a] for a in self.sizes], dtype=np.int64)
        return max(each.value(x) for each in found)

    def remaining(
        self, metric: Metric, widths: Mapping[int, int], scope: frozenset[str] | None = None
    ) -> int:
        """The exact cost, without what nothing needs any more once several blocks are gone."""
        gone = [found for atom, found in self.branches.items() if widths.get(atom) == 0]
        if len(gone) < 2 or self.graph is None or metric == "params":
            return self.total(metric, widths, scope)
        left = drop.run(self.graph, chain.from_iterable(gone)).node
        needed = tuple(t for t in self.terms if t.metric == metric and t.name in left)
        return Costs(needed, self.sizes).total(metric, widths, scope)


def run(graph: Graph, axes: Axes, blocks: Sequence[Group] = ()) -> Costs:
    """The costs of a graph whose axes are solved, and of which ``blocks`` (or layers) may
    go."""
    sizes = Sizes(graph, axes)
    nodes, weights = _stays_with(blocks)
    terms = [
        Term(
            node.name,
            "macs",
            frozenset(c.path for c in node.scope) or frozenset({""}),
            multiply(found, *nodes[node.name]),
        )
        for node in graph.nodes
        if (found := macs.run(sizes, node))
    ]
    for weight in graph.weights:
        if weight.kind == "parameter":
            owners = frozenset(n.rpartition(".")[0] for n in (weight.name, *weight.ties))
            found = multiply(*sizes.weight(weight), *weights[weight.name])
            terms.append(Term(weight.name, "params", owners, found))
    sizes.free.update((block.atom.id, block.size) for block in blocks)
    used = {atom for term in terms for monomial in term.monomials for atom in monomial}
    branches = {b.atom.id: b.branches for b in blocks}
    return Costs(
        tuple(terms),
        {a: n for a, n in sorted(sizes.free.items()) if a in used},
        graph,
        branches,
    )


def _stays_with(
    blocks: Sequence[Group],
) -> tuple[Mapping[str, list[Monomials]], Mapping[str, list[Monomials]]]:
    """The atoms of the blocks that each node, and each weight, goes with."""
    nodes: dict[str, list[Monomials]] = defaultdict(list)
    weights: dict[str, list[Monomials]] = defaultdict(list)
    for block in blocks:
        here: Monomials = {(block.atom.id,): 1}
        for name in {name for branch in block.branches for name in branch.exclusive}:
            nodes[name].append(here)
        for name in {name for branch in block.branches for name in branch.weights}:
            weights[name].append(here)
    return nodes, weights


def _within(owners: frozenset[str], scope: frozenset[str]) -> bool:
    return any(
        path == root or not root or path.startswith(f"{root}.") for path in owners for root in scope
    )
