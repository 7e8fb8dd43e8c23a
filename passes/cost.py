"""Costs: what a model costs as functions of its kept widths, exact.

- ``macs``: multiply-adds of one sample. What torch's `FlopCounterMode` counts is twice that.
- ``params``: elements of the parameters, tied ones once.
- ``weights``: bytes of the weights file: what every tensor in it holds, and a header that is
  bounded from above (`Stored`). In a scope: of the tensors of these modules, without a header.
- ``activations``: the most bytes that values hold at once in one forward (`passes.liveness`). In a
  scope: at the nodes of these modules, whoever made the values.
- ``memory``: weights and activations.
- ``channels``: the widths of the groups that may lose some, added up; blocks and layers are none.

The MACs of an operator are a product of its axis sizes and a tensor has the product of its sizes,
so a cost is a polynomial in the widths of the atoms, or the largest of several; what goes with a
residual branch is multiplied by the atoms of its block and of its layer, which are 1 or 0. Counts
are for one sample: a dynamic batch size counts as one, every other dynamic size as in the example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain
from typing import Literal, TypeAlias, assert_never

import numpy as np
import torch

from prunec.diagnostics import InternalError
from prunec.ir.graph import Graph, Weight
from prunec.ir.group import Axes, Branch, Group
from prunec.passes import drop, liveness, macs
from prunec.passes.costfunction import CostFunction
from prunec.passes.liveness import Liveness
from prunec.passes.monomials import evaluate, folded, undominated
from prunec.passes.polynomial import Monomials, Polynomial, add, multiply
from prunec.passes.sizes import Sizes

Sum: TypeAlias = Literal["macs", "params", "weights", "channels"]
Metric: TypeAlias = Sum | Literal["activations", "memory"]
"""What can be bounded, apart from the latency on a device."""
Scope: TypeAlias = frozenset[str] | None
"""Module paths, and all below them; None is the whole model."""


@dataclass(frozen=True)
class Stored:
    """What is in the weights file: the names of its tensors, and the most bytes of its header."""

    names: frozenset[str]
    header: int


@dataclass(frozen=True)
class Term:
    """The cost of one node (MACs), tensor or group, and the module paths that it belongs to."""

    name: str
    metric: Sum
    owners: frozenset[str]
    monomials: Monomials


@dataclass(frozen=True, eq=False)
class Costs:
    """What a model costs, term by term. ``sizes`` are the full widths of the atoms that occur.

    ``branches`` are those of ``graph`` that may go, by the atoms of their blocks and layers;
    ``alive`` says what is alive in a forward of it, or of what is left of it; ``header`` are the
    bytes of the weights file that belong to no tensor.
    """

    terms: tuple[Term, ...]
    sizes: Mapping[int, int]
    graph: Graph | None = None
    branches: Mapping[int, tuple[Branch, ...]] = field(default_factory=dict)
    alive: Callable[[Graph | None], Liveness] | None = None
    header: int = 0
    _compiled: dict[tuple[Metric, Scope], tuple[CostFunction, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def functions(
        self, metric: Metric, scope: Scope = None, *, above: int = -1
    ) -> tuple[Monomials, ...]:
        """Sums of products of atoms; the cost is the largest of them. At least one.

        Those that are at most ``above`` at full widths may be left out.
        """
        match metric:
            case "macs" | "params" | "weights" | "channels":
                return (self._sum(metric, scope),)
            case "activations":
                return self._peaks(self.graph, scope, above) or ({},)
            case "memory":
                weights = self._sum("weights", scope)
                room = above - evaluate(weights, self.sizes)
                peaks = self._peaks(self.graph, scope, room) or ({},)
                return tuple(add(weights, peak) for peak in peaks)
            case _:
                assert_never(metric)

    def atoms(self, metric: Metric, scope: Scope = None) -> frozenset[int]:
        """The atoms that a cost depends on."""
        sums = self.functions(metric, scope)
        return frozenset(atom for each in sums for monomial in each for atom in monomial)

    def compiled(
        self,
        metric: Metric,
        unknowns: Sequence[int],
        scope: Scope = None,
        *,
        above: int = -1,
        times: int = 1,
    ) -> tuple[CostFunction, ...]:
        """The cost, ``times`` a factor, as functions of the widths of some atoms, all others full.

        The cost is the largest of them; ``above`` as in `functions`.
        """
        factor: Monomials = {(): times}
        sums = self.functions(metric, scope, above=above)
        if len(sums) > 1:
            free = frozenset(unknowns)
            sums = undominated(folded(each, self.sizes, free) for each in sums)
        parts = [multiply(part, factor) for part in self._parts(metric, scope)]
        return tuple(
            Polynomial.compile(multiply(each, factor), unknowns, self.sizes, parts) for each in sums
        )

    def total(
        self, metric: Metric, widths: Mapping[int, int] | None = None, scope: Scope = None
    ) -> int:
        """The exact cost with ``widths`` (atom id -> kept channels, absent: all).

        With blocks gone it is an upper bound: see `remaining`.
        """
        found = self._compiled.get((metric, scope))
        if found is None:
            found = self.compiled(metric, tuple(self.sizes), scope)
            self._compiled[metric, scope] = found
        kept = self.sizes if widths is None else {**self.sizes, **widths}
        x = np.array([kept[a] for a in self.sizes], dtype=np.int64)
        return max(each.value(x) for each in found)

    def remaining(self, metric: Metric, widths: Mapping[int, int], scope: Scope = None) -> int:
        """The exact cost, without what nothing needs any more once blocks are gone.

        What several blocks share, and nothing else needs, costs as long as one of them stays.
        """
        gone = [found for atom, found in self.branches.items() if widths.get(atom) == 0]
        if not gone or self.graph is None:
            return self.total(metric, widths, scope)
        left = drop.run(self.graph, chain.from_iterable(gone))
        needed = tuple(t for t in self.terms if t.metric != "macs" or t.name in left.node)
        rest = Costs(needed, self.sizes, left, alive=self.alive, header=self.header)
        return rest.total(metric, widths, scope)

    def _sum(self, metric: Sum, scope: Scope) -> Monomials:
        header = self.header if metric == "weights" and scope is None else 0
        return add(*self._parts(metric, scope), {(): header} if header else {})

    def _parts(self, metric: Metric, scope: Scope) -> tuple[Monomials, ...]:
        """Terms that all of `functions` have in common, one for each node, tensor or group."""
        summed = "weights" if metric == "memory" else metric
        return tuple(
            t.monomials for t in self.terms if t.metric == summed and _within(scope, t.owners)
        )

    def _peaks(self, graph: Graph | None, scope: Scope, above: int) -> tuple[Monomials, ...]:
        if self.alive is None:
            raise InternalError("costs without a liveness have no activations")
        inside = None if scope is None else partial(_within, scope)
        return self.alive(graph).peaks(inside, above=above, atoms=self.sizes)


def run(
    graph: Graph, axes: Axes, chosen: Sequence[Group] = (), stored: Stored | None = None
) -> Costs:
    """The costs of a graph whose axes are solved, and of which ``chosen`` groups may lose channels,
    blocks or layers among them.

    ``stored`` is what the weights file holds; None: every tensor, and no header.
    """
    sizes = Sizes(graph, axes)
    blocks = tuple(g for g in chosen if g.branches)
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
        found = multiply(*sizes.weight(weight), *weights[weight.name])
        terms += _of_weight(weight, found, stored)
    for group in chosen:
        if not group.branches:
            makers = group.producers or tuple(p.weight.rpartition(".")[0] for p in group.places)
            terms.append(Term(group.name, "channels", frozenset(makers), {(group.atom.id,): 1}))
    free = {**sizes.free, **{group.atom.id: group.size for group in chosen}}
    used = {atom for term in terms for monomial in term.monomials for atom in monomial}

    whole = cache(lambda: liveness.run(graph, axes, blocks))

    def alive(left: Graph | None) -> Liveness:
        return whole() if left is graph or left is None else liveness.run(left, axes)

    return Costs(
        tuple(terms),
        {a: n for a, n in sorted(free.items()) if a in used},
        graph,
        {b.atom.id: b.branches for b in blocks},
        alive,
        stored.header if stored else 0,
    )


def _of_weight(weight: Weight, size: Monomials, stored: Stored | None) -> Iterator[Term]:
    owners = frozenset(n.rpartition(".")[0] for n in (weight.name, *weight.ties))
    if weight.kind == "parameter":
        yield Term(weight.name, "params", owners, size)
    if stored is None or weight.name in stored.names:
        each: Monomials = {(): getattr(torch, weight.type.dtype).itemsize}
        yield Term(weight.name, "weights", owners, multiply(size, each))


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


def _within(scope: Scope, owners: frozenset[str]) -> bool:
    return scope is None or any(
        path == root or not root or path.startswith(f"{root}.") for path in owners for root in scope
    )
