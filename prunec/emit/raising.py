"""Raising: views in terms of what they do to dimensions, instead of in sizes.

``x.view(n, 2, 58, 28, 28)`` becomes ``x.unflatten(1, (2, -1))``: shorter, right for every width,
and equal in modules that differ in widths alone.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from prunec.emit import schema
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, WeightRef


def run(node: Node, graph: Graph) -> Node:
    """The node, or another that does the same."""
    match schema.base(node.op):
        case "view" | "reshape":
            return _reshape(node, graph)
        case "expand":
            return _expand(node, graph)
        case _:
            return node


def _reshape(node: Node, graph: Graph) -> Node:
    """Merge dimensions, split one, or add or drop one of size one; other views stay."""
    source, sizes = node.args[0], node.args[-1]
    given = _type(source, graph)
    if not isinstance(given, TensorType) or not isinstance(node.type, TensorType):
        return node
    if not isinstance(sizes, tuple):
        return node
    old = list(zip(given.shape, given.symbols, strict=True))
    new = list(zip(node.type.shape, node.type.symbols, strict=True))
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    match len(old) - head - tail, len(new) - head - tail:
        case 0, 1:
            return _as(node, "unsqueeze.default", source, head)
        case 1, 0:
            return _as(node, "squeeze.dim", source, head)
        case merged, 1 if merged > 1:
            last = head + merged - 1 if tail else -1
            return _as(node, "flatten.using_ints", source, head, last)
        case 1, split if split > 1 and all(n[0] != 1 for n in new[head : head + split]):
            parts = sizes[head : head + split]
            parts = parts if -1 in parts else (*parts[:-1], -1)
            return _as(node, "unflatten.int", source, head, parts)
        case _:
            return node


def _expand(node: Node, graph: Graph) -> Node:
    """Sizes that stay are -1."""
    source, sizes = node.args[0], node.args[1]
    given = _type(source, graph)
    if not isinstance(given, TensorType) or not isinstance(node.type, TensorType):
        return node
    assert isinstance(sizes, tuple)
    added: list[tuple[int, str | None] | None] = [None] * (node.type.rank - given.rank)
    before = [*added, *zip(given.shape, given.symbols, strict=True)]
    after = zip(node.type.shape, node.type.symbols, strict=True)
    kept = tuple(-1 if b == a else s for b, a, s in zip(before, after, sizes, strict=True))
    return replace(node, args=(source, kept, *node.args[2:]))


def _as(node: Node, op: str, *args: Argument) -> Node:
    return replace(node, op=f"aten.{op}", args=args, kwargs=())


def _type(value: Argument, graph: Graph) -> Type:
    if isinstance(value, WeightRef):
        return graph.weight[value.name].type
    return graph.types[value.name] if isinstance(value, Ref) else None


def _common(a: Sequence[object], b: Sequence[object]) -> int:
    """How many items two sequences have in common at their start."""
    shorter = min(len(a), len(b))
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)


def unbind(
    nodes: Sequence[Node],
    parts: dict[str, tuple[str | None, ...]],
    graph: Graph,
    returned: Container[str],
) -> list[Node]:
    """Where each item of a dimension is selected, take all at once (``q, k = x.unbind()``)."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for ref in node.refs():
            readers.setdefault(ref.name, []).append(node)
    taken: dict[str, Node] = {}
    for value, found in readers.items():
        dim = _unbinds(graph.types[value], found)
        if dim is not None and value not in returned and f"{value}_items" not in readers:
            named = {_int(n.args[2]): n for n in found}
            row = tuple(named[i] for i in range(len(found)))
            args = (Ref(value),) if dim == 0 else (Ref(value), dim)
            made = replace(
                found[0],
                name=f"{value}_items",
                op="aten.unbind.int",
                args=args,
                kwargs=(),
                type=tuple(n.type for n in row),
            )
            parts[made.name] = tuple(n.name for n in row)
            taken.update({n.name: made for n in found})
    return list(dict.fromkeys(taken.get(n.name, n) for n in nodes))


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
