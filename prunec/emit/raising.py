"""Raising: operators in terms of what a person would have written for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prunec.emit import schema
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, leaves


def run(node: Node, graph: Graph) -> Node:
    """The node, or another that does the same."""
    return _expand(node, graph) if schema.base(node.op) == "expand" else node


def _expand(node: Node, graph: Graph) -> Node:
    """Sizes that stay are -1."""
    source, sizes = node.args[0], node.args[1]
    given = graph.type_of(source)
    if not isinstance(given, TensorType) or not isinstance(node.type, TensorType):
        return node
    assert isinstance(sizes, tuple)
    added: list[tuple[int, str | None] | None] = [None] * (node.type.rank - given.rank)
    before = [*added, *zip(given.shape, given.symbols, strict=True)]
    after = zip(node.type.shape, node.type.symbols, strict=True)
    kept = tuple(-1 if b == a else s for b, a, s in zip(before, after, sizes, strict=True))
    return replace(node, args=(source, kept, *node.args[2:]))


def unbind(graph: Graph) -> Graph:
    """Where each item of a dimension is selected, take all at once (``q, k = x.unbind()``)."""
    returned = {r.name for r in leaves(graph.output)}
    taken: dict[str, tuple[Node, ...]] = {}
    gone: set[str] = set()
    for value, found in graph.users.items():
        dim = _unbinds(graph.types[value], found)
        if dim is not None and value not in returned and f"{value}_items" not in graph.types:
            row = tuple(sorted(found, key=lambda n: _int(n.args[2])))
            made = replace(
                found[0],
                name=f"{value}_items",
                op="aten.unbind.int",
                args=(Ref(value),) if dim == 0 else (Ref(value), dim),
                kwargs=(),
                type=tuple(n.type for n in row),
            )
            items = (
                replace(n, op="getitem", args=(Ref(made.name), i), kwargs=())
                for i, n in enumerate(row)
            )
            taken[found[0].name] = (made, *items)
            gone.update(n.name for n in found)
    if not gone:
        return graph
    nodes = [taken.get(n.name, () if n.name in gone else (n,)) for n in graph.nodes]
    return replace(graph, nodes=tuple(n for row in nodes for n in row))


def _unbinds(type_: Type, readers: Sequence[Node]) -> int | None:
    """The dimension of which the readers select every item, from 0 on."""
    if not isinstance(type_, TensorType) or any(schema.base(n.op) != "select" for n in readers):
        return None
    dims = {_int(n.args[1]) % type_.rank for n in readers}
    scopes = {n.scope for n in readers}
    if len(dims) != 1 or len(scopes) != 1 or any(not isinstance(n.args[2], int) for n in readers):
        return None
    dim = dims.pop()
    complete = sorted(_int(n.args[2]) for n in readers) == list(range(type_.shape[dim]))
    return dim if complete and type_.symbols[dim] is None and len(readers) > 1 else None


def _int(argument: Argument) -> int:
    assert isinstance(argument, int)
    return argument
