"""Expand: operators behind private names of torch, as the public ones that they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prunec.emit import schema
from prunec.ir.graph import Graph, Node, Ref, TensorType


def run(graph: Graph) -> Graph:
    """The graph without the operators that torch has other names for."""
    nodes = tuple(new for node in graph.nodes for new in _expanded(node, graph))
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)


def _expanded(node: Node, graph: Graph) -> Iterator[Node]:
    if node.op == "aten._weight_norm.default":
        yield from _weight_norm(node, graph)
    else:
        yield node


def _weight_norm(node: Node, graph: Graph) -> Iterator[Node]:
    """``v * (g / norm)``, the norm over all dimensions of ``v`` but one."""
    bound = schema.bind(node)
    v, g, dim = bound["v"], bound["g"], bound["dim"]
    type_, scale = node.type, graph.type_of(g)
    if not isinstance(type_, TensorType) or not isinstance(dim, int) or dim < 0 or scale is None:
        yield node
        return
    others = tuple(d for d in range(type_.rank) if d != dim)
    norm, ratio = f"{node.name}_norm", f"{node.name}_ratio"
    made = replace(node, kwargs=(), type=scale)
    yield replace(made, name=norm, op="aten.linalg_vector_norm.default", args=(v, 2, others, True))
    yield replace(made, name=ratio, op="aten.div.Tensor", args=(g, Ref(norm)))
    yield replace(made, op="aten.mul.Tensor", args=(v, Ref(ratio)), type=type_)
