"""Liveness: the bytes of values that are alive at once in one forward, node after node.

At a node there are alive: its own result; every earlier value that it or a later node reads, or
that is an output; and all inputs, for the caller holds them. Each storage counts once, with the
bytes of the tensors that it was made for (`passes.storages` says which values share one, so that a
view costs nothing and keeps its base alive). Counts are for one sample, as in `passes.sizes`. That
is the peak of what `passes.execute.run` holds.

A Python program may hold more: whoever calls a module keeps its arguments until it returns. The
emitted sources of resnet18, resnet50, densenet121, mobilenet_v3_small, efficientnet_b0 and vit_b_16
(torchvision, one image on a CPU) peak at 1.00, 1.16, 1.13, 1.08, 1.08 and 1.40 times this, kernels'
own memory that torch sees included.

Not counted: weights; what kernels allocate beyond their results and free again; what an allocator
adds. An operator that writes in place counts as one that does not. Views are those of the dense
model: a copy that becomes a view because a width becomes one still counts, never less.

Of blocks and layers that may go: what is made inside goes with them, and a sum that loses its only
branch is its other operand, one storage in place of two while both are alive. What several of them
share, and nothing else needs, counts even if all go, and so does the longer life of what a branch
alone reads late: never less than what is alive in the model without them, and exact with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from prunec.diagnostics import InternalError
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Group
from prunec.passes import storages
from prunec.passes.monomials import evaluate, folded, undominated
from prunec.passes.polynomial import Integers, Monomials, add, multiply
from prunec.passes.sizes import Sizes
from prunec.passes.storages import Storages


@dataclass(frozen=True)
class Point:
    """A node: the paths of its modules, and the atoms of the blocks that it goes with."""

    owners: frozenset[str]
    with_blocks: Monomials


@dataclass(frozen=True)
class Span:
    """Bytes that are alive from point ``first`` to point ``last``, both included."""

    first: int
    last: int
    size: Monomials


@dataclass(frozen=True, eq=False)
class Liveness:
    """All points of one forward, in order, and what is alive there. ``sizes`` are the full widths
    of the atoms.
    """

    points: tuple[Point, ...]
    spans: tuple[Span, ...]
    sizes: Mapping[int, int]

    def peaks(
        self,
        inside: Callable[[frozenset[str]], bool] | None = None,
        *,
        above: int = -1,
        atoms: Collection[int],
    ) -> tuple[Monomials, ...]:
        """The bytes alive at the points whose owners are ``inside``; the peak is the largest.

        Left out are points that another one is never below, coefficient for coefficient, and those
        that are not ``above`` so many bytes at full widths. Atoms other than ``atoms`` are full.
        """
        chosen = self._deaths() if inside is None else self._within(inside)
        chosen = [p for p in chosen if self._dense[p] > above]
        return undominated(
            folded(
                size if inside is None else multiply(size, self.points[p].with_blocks),
                self.sizes,
                atoms,
            )
            for p, size in self._sweep(chosen)
        )

    @cached_property
    def _dense(self) -> Integers:
        """The bytes alive at every point at full widths: int64[points]."""
        change = np.zeros(len(self.points) + 1, dtype=np.int64)
        for span in self.spans:
            size = evaluate(span.size, self.sizes)
            change[span.first] += size
            change[span.last + 1] -= size
        found: Integers = np.cumsum(change)[:-1]
        return found

    def _deaths(self) -> list[int]:
        """The points after which something dies: until the next one there is only more alive."""
        return sorted({span.last for span in self.spans})

    def _within(self, inside: Callable[[frozenset[str]], bool]) -> list[int]:
        return [k for k, point in enumerate(self.points) if inside(point.owners)]

    def _sweep(self, chosen: Sequence[int]) -> Iterator[tuple[int, Monomials]]:
        """Some points, ascending, with what is alive there."""
        changes: list[list[tuple[int, Monomials]]] = [[] for _ in range(len(self.points) + 1)]
        for span in self.spans:
            changes[span.first].append((1, span.size))
            changes[span.last + 1].append((-1, span.size))
        alive: dict[tuple[int, ...], int] = {}
        wanted = set(chosen)
        for at in range(len(self.points)):
            for sign, size in changes[at]:
                for atoms, bytes_ in size.items():
                    alive[atoms] = alive.get(atoms, 0) + sign * bytes_
                    if not alive[atoms]:
                        del alive[atoms]
            if at in wanted:
                yield at, dict(alive)


def run(graph: Graph, axes: Axes, blocks: Sequence[Group] = ()) -> Liveness:
    """What is alive in a graph whose axes are solved; ``blocks`` (or layers) of it may go."""
    sizes, held = Sizes(graph, axes), storages.run(graph)
    inside, streams = _inside(blocks), _streams(blocks)
    names = [node.name for node in graph.nodes]
    lives = _lives(graph, held)
    spans: list[Span] = []
    for storage, (name, tensors) in enumerate(held.made):
        first, last = lives[storage]
        size = multiply(_bytes(sizes, name, tensors), inside.get(name, {(): 1}))
        skip, gone = streams.get(name, (name, None))
        (base, *others) = held.held[skip] or (storage,)
        if gone is None or others or base == storage:
            spans.append(Span(first, last, size))
            continue
        until = min(last, lives[base][1])
        spans.append(Span(first, until, multiply(size, gone)))
        if last > until:
            spans.append(Span(until + 1, last, size))
            own = _bytes(sizes, *held.made[base])
            if own != _bytes(sizes, name, tensors):  # a part of its base, which then lives on
                spans.append(Span(until + 1, last, own))
    points = [
        Point(
            frozenset(c.path for c in node.scope) or frozenset({""}),
            multiply(inside.get(name, {(): 1}), streams.get(name, (name, {(): 1}))[1]),
        )
        for name, node in zip(names, graph.nodes, strict=True)
    ]
    return Liveness(
        tuple(points) or (Point(frozenset({""}), {(): 1}),),
        tuple(spans),
        {**sizes.free, **{block.atom.id: block.size for block in blocks}},
    )


def _lives(graph: Graph, held: Storages) -> list[tuple[int, int]]:
    """The first and the last point of every storage."""
    end = max(0, len(graph.nodes) - 1)
    first = {node.name: at for at, node in enumerate(graph.nodes)}
    last = {**first, **{r.name: at for at, node in enumerate(graph.nodes) for r in node.refs()}}
    for name in (*(i.name for i in graph.inputs), *(r.name for r in graph.outputs)):
        last[name] = end
    ends = [0] * len(held.made)
    for name, found in held.held.items():
        for storage in found:
            ends[storage] = max(ends[storage], last[name])
    return [(first.get(name, 0), until) for (name, _), until in zip(held.made, ends, strict=True)]


def _inside(blocks: Sequence[Group]) -> dict[str, Monomials]:
    """The nodes that go with blocks, and the product of these blocks' atoms."""
    found: dict[str, Monomials] = {}
    for block in blocks:
        for name in dict.fromkeys(n for branch in block.branches for n in branch.exclusive):
            found[name] = multiply(found.get(name, {(): 1}), {(block.atom.id,): 1})
    return found


def _streams(blocks: Sequence[Group]) -> dict[str, tuple[str, Monomials]]:
    """Sums of which one operand may go: the other one, and the atoms that the sum goes with."""
    found: dict[str, dict[str, tuple[str, Monomials]]] = {}
    for block in blocks:
        for branch in block.branches:
            values = found.setdefault(branch.node, {})
            _, atoms = values.get(branch.value.name, ("", {(): 1}))
            atoms = multiply(atoms, {(block.atom.id,): 1})
            values[branch.value.name] = (branch.skip.name, atoms)
    return {node: next(iter(values.values())) for node, values in found.items() if len(values) == 1}


def _bytes(sizes: Sizes, name: str, tensors: Sequence[int]) -> Monomials:
    """What a storage holds: so many elements of so many bytes each."""
    known = list(sizes.tensors(name))
    if tensors[-1] >= len(known):
        raise InternalError(f"the value {name} has more tensors than its type")
    made = [known[at] for at in tensors]
    return add(
        *(multiply({(): getattr(torch, kind.dtype).itemsize}, *shape) for kind, shape in made)
    )
