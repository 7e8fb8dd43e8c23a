"""Layers: members of a list that only add residual branches to what they are given.

Without its branches such a layer hands its input on, so that all of them can go at once. A norm
behind the sum (BERT) is an effect of its own: such a layer is none. What may stay is free, and
changes nothing that another layer of the kind handed on: dropout, a reshape there and back, and the
ReLU behind the sum of a ResNet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from prunec.ir.axis import Atom
from prunec.ir.graph import Call, Graph, Module, Node, Ref, ScalarType
from prunec.ir.group import Axes, Branch, Group
from prunec.passes import drop
from prunec.passes.blocks import Finder, is_sum

LISTS = ("torch.nn.modules.container.ModuleList", "torch.nn.modules.container.Sequential")
MAY_STAY = frozenset(
    f"aten.{op}"
    for op in (
        "alias.default",
        "clone.default",
        "contiguous.default",
        "dropout.default",
        "flatten.using_ints",
        "relu.default",
        "reshape.default",
        "unflatten.int",
        "view.default",
    )
)
"""Operators on the stream that may be left of a layer: with equal types, a ReLU at the most."""


def run(graph: Graph, axes: Axes, blocks: Sequence[Group]) -> tuple[Group, ...]:
    """Every layer that is made of ``blocks`` alone, in the order of the lists; the innermost ones.

    Atoms have negative ids, below those of the blocks.
    """
    branches = [branch for block in blocks for branch in block.branches]
    finder = Finder(graph, axes)
    members = [m.path for m in _members(graph)]
    calls: dict[str, dict[str, Call]] = {path: {} for path in members}
    for node in graph.nodes:
        for call in node.scope:
            if call.path in calls:
                calls[call.path][node.name] = call
    found = ((path, _branches(finder, calls[path], branches)) for path in calls)
    layers = [(path, own) for path, own in found if own]
    holders = {path[: dot.start()] for path, _ in layers for dot in re.finditer(r"\.", path)}
    layers = [(path, own) for path, own in layers if path not in holders]
    return tuple(
        Group(
            name=f"{path} layer",
            atom=Atom(-1 - len(blocks) - k, 1),
            kind="layers",
            places=(),
            producers=(path,),
            consumers=(),
            branches=own,
        )
        for k, (path, own) in enumerate(layers)
    )


def _members(graph: Graph) -> Iterator[Module]:
    """The modules in lists beside another one of their class, no lists themselves."""
    for holder in graph.modules:
        if holder.cls not in LISTS:
            continue
        prefix = f"{holder.path}." if holder.path else ""
        paths = (prefix + name for name in holder.children)
        members = [graph.module[path] for path in paths if path in graph.module]
        classes = [m.cls for m in members]
        yield from (m for m in members if classes.count(m.cls) > 1 and m.cls not in LISTS)


def _branches(
    finder: Finder, calls: Mapping[str, Call], blocks: Sequence[Branch]
) -> tuple[Branch, ...]:
    """All branches of a layer, or none if it is more than these, or called more than once.

    ``calls`` are the layer's nodes, with the call that made each. A number that others read too
    is a size, which does not depend on the layer's effect.
    """
    graph = finder.graph
    own = [b for b in blocks if b.node in calls]
    own = [b for b in own if not any(b.node in other.exclusive for other in own)]
    results = [
        name
        for name in calls
        if not isinstance(graph.types[name], ScalarType)
        and (name in finder.outputs or any(u.name not in calls for u in graph.users[name]))
    ]
    if not own or len({*calls.values()}) > 1 or len(results) != 1:
        return ()
    stream = _stream(graph, results[0], calls.keys(), {b.value.name for b in own})
    if stream is None or graph.types[stream] != graph.types[results[0]]:
        return ()
    return _with_shared(finder, own)


def _stream(graph: Graph, name: str, inside: Collection[str], lost: set[str]) -> str | None:
    """What a value of a layer is without its branches: a value from outside, or None."""
    while name in inside:
        node = graph.node[name]
        if is_sum(node):
            rest = [r.name for r in node.refs() if not _vanishes(graph, r.name, lost)]
        elif node.op in MAY_STAY or _is_cast_to_itself(graph, node):
            rest = [a.name for a in node.args[:1] if isinstance(a, Ref)]
        else:
            return None
        if len(rest) != 1:
            return None
        name = rest[0]
    return name


def _is_cast_to_itself(graph: Graph, node: Node) -> bool:
    """Whether a node casts a value to the type that it has, as an RMS norm does."""
    source = node.args[0] if node.op == "aten.to.dtype" else None
    return isinstance(source, Ref) and graph.types[source.name] == node.type


def _vanishes(graph: Graph, name: str, lost: set[str]) -> bool:
    """Whether nothing is left of a value: a branch, or a sum of branches."""
    node = graph.node.get(name)
    if name in lost or node is None or not is_sum(node):
        return name in lost
    return all(_vanishes(graph, r.name, lost) for r in node.refs())


def _is_stream(graph: Graph, node: Node, lost: set[str]) -> bool:
    """Whether a sum loses some of its operands, and not all."""
    vanish = [_vanishes(graph, r.name, lost) for r in node.refs()]
    return any(vanish) and not all(vanish)


def _with_shared(finder: Finder, own: Sequence[Branch]) -> tuple[Branch, ...]:
    """The branches, the first with what no other one needs alone, and nothing else needs."""
    graph = finder.graph
    gone = {*graph.node} - {*drop.run(graph, own).node}
    lost = {b.value.name for b in own}
    sums = [n for n in graph.nodes if n.name in gone and is_sum(n)]
    gone -= {n.name for n in sums if _is_stream(graph, n, lost)}
    first, *others = own
    nodes = gone - {name for b in others for name in b.exclusive}
    weights = {*finder.owned(gone)} - {name for b in others for name in b.weights}
    ordered = tuple(w.name for w in graph.weights if w.name in weights)
    return replace(first, exclusive=finder.ordered(nodes), weights=ordered), *others
