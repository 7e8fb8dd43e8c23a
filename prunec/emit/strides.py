"""Strides: copies that change nothing but how a tensor lies in memory."""

from __future__ import annotations

from prunec.emit import moves, schema
from prunec.emit.spellings import OPERATORS
from prunec.ir.graph import Argument, Graph, Node, Ref, TorchName, WeightRef, leaves

STRICT = frozenset({"view_as_complex", "as_strided"})
"""Operators that take some strides only, as do ``x.view(dtype)`` and those that are not torch's."""

KEEPING = frozenset({*OPERATORS, *moves.READERS, "contiguous", "clone", "to", "_to_copy", "neg"})
"""Operators whose result lies in memory as their argument does."""

DEFAULT = (None, "contiguous_format", "preserve_format")


def needed(graph: Graph) -> frozenset[str]:
    """Values whose strides matter: to an operator that reads them, or to the caller."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        base = schema.base(node.op)
        strict = base in STRICT or node.op == "aten.view.dtype"
        if strict or (node.name in found and base in KEEPING):
            found.update(r.name for r in node.refs())
    return frozenset(found | {r.name for r in leaves(graph.output)})


def copied(node: Node, fixed: frozenset[str]) -> Argument:
    """What a copy copies; None for another operator, or where its strides matter."""
    source = node.args[0] if node.args else None
    if schema.base(node.op) not in ("contiguous", "clone") or node.name in fixed:
        return None
    layout = dict(node.kwargs).get("memory_format", node.args[1] if len(node.args) > 1 else None)
    plain = layout is None or (isinstance(layout, TorchName) and layout.name in DEFAULT)
    return source if plain and isinstance(source, Ref | WeightRef) else None
