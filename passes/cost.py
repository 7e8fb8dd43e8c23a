"""Costs: exact multiply-adds and parameters of a model as functions of its kept widths.

The MACs of an operator are a product of its axis sizes and a parameter has the product of its
sizes, so a cost is a polynomial in the widths of the atoms. Counts are for one sample: a dynamic
batch size counts as one, every other dynamic size as in the example. What torch's `FlopCounterMode`
counts is twice what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from prunec.ir.graph import Graph
from prunec.ir.group import Axes
from prunec.passes import macs
from prunec.passes.polynomial import Monomials, Polynomial, add, multiply
from prunec.passes.sizes import Sizes

Metric = Literal["macs", "params"]


@dataclass(frozen=True)
class Term:
    """The cost of one node (MACs) or one parameter, and the module paths that it belongs to."""

    name: str
    metric: Metric
    owners: frozenset[str]
    monomials: Monomials


@dataclass(frozen=True, eq=False)
class Costs:
    """What a model costs, term by term. ``sizes`` are the full widths of the atoms that occur."""

    terms: tuple[Term, ...]
    sizes: Mapping[int, int]
    _compiled: dict[tuple[Metric, frozenset[str] | None], Polynomial] = field(
        default_factory=dict, init=False, repr=False
    )

    def total(
        self,
        metric: Metric,
        widths: Mapping[int, int] | None = None,
        scope: frozenset[str] | None = None,
    ) -> int:
        """The exact cost with ``widths`` (atom id -> kept channels, absent: all).

        With ``scope``, only what the modules at these paths, and all below them, compute or own.
        """
        found = self._compiled.get((metric, scope))
        if found is None:
            found = Polynomial.compile(self.monomials(metric, scope), tuple(self.sizes), self.sizes)
            self._compiled[metric, scope] = found
        kept = self.sizes if widths is None else {**self.sizes, **widths}
        return found.value(np.array([kept[a] for a in self.sizes], dtype=np.int64))

    def monomials(self, metric: Metric, scope: frozenset[str] | None = None) -> Monomials:
        """The cost as a sum of products of atoms."""
        return add(
            *(
                term.monomials
                for term in self.terms
                if term.metric == metric and (scope is None or _within(term.owners, scope))
            )
        )


def run(graph: Graph, axes: Axes) -> Costs:
    """The costs of a graph whose axes are solved."""
    sizes = Sizes(graph, axes)
    terms = [
        Term(node.name, "macs", frozenset(c.path for c in node.scope) or frozenset({""}), found)
        for node in graph.nodes
        if (found := macs.run(sizes, node))
    ]
    for weight in graph.weights:
        if weight.kind == "parameter":
            owners = frozenset(n.rpartition(".")[0] for n in (weight.name, *weight.ties))
            terms.append(Term(weight.name, "params", owners, multiply(*sizes.weight(weight))))
    used = {atom for term in terms for monomial in term.monomials for atom in monomial}
    return Costs(tuple(terms), {a: n for a, n in sorted(sizes.free.items()) if a in used})


def _within(owners: frozenset[str], scope: frozenset[str]) -> bool:
    return any(
        path == root or not root or path.startswith(f"{root}.") for path in owners for root in scope
    )
