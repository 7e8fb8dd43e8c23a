"""Neutral: operands that change nothing."""

from __future__ import annotations

from dataclasses import replace

from prunec.emit import schema
from prunec.emit.spellings import OPERATORS
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, WeightRef

LOGIC = {
    **dict.fromkeys(("bitwise_and", "__and__", "logical_and"), True),
    **dict.fromkeys(("bitwise_or", "__or__", "logical_or"), False),
}
"""Operators on booleans, with the operand that does nothing."""

FILLED = {"ones": 1, "new_ones": 1, "ones_like": 1, "zeros": 0, "new_zeros": 0, "zeros_like": 0}


def operand(node: Node, graph: Graph) -> Argument:
    """The operand that an operator hands on; None where it does something."""
    base = schema.base(node.op)
    if base == "where" and len(node.args) == 3 and node.args[1] == node.args[2]:
        return _alike(node.args[1], node, graph)
    if base not in LOGIC or not isinstance(node.type, TensorType) or node.type.dtype != "bool":
        return None
    left, right = node.args[:2]
    for value, other in ((left, right), (right, left)):
        if _filled(other, graph) is LOGIC[base]:
            return _alike(value, node, graph)
    return None


def _alike(value: Argument, node: Node, graph: Graph) -> Argument:
    same = isinstance(value, Ref | WeightRef) and graph.type_of(value) == node.type
    return value if same else None


def _filled(value: Argument, graph: Graph) -> bool | None:
    """The boolean that a tensor is full of."""
    if isinstance(value, bool):
        return value
    made = graph.node.get(value.name) if isinstance(value, Ref) else None
    if made is None or not isinstance(made.type, TensorType) or made.type.dtype != "bool":
        return None
    base = schema.base(made.op)
    if base in ("full", "new_full", "full_like"):
        number = schema.bind(made)["fill_value"]
        return bool(number) if isinstance(number, bool | int | float) else None
    return bool(FILLED[base]) if base in FILLED else None


def broadcast(node: Node, graph: Graph) -> Node:
    """Arithmetic without an ``expand`` that broadcasting does by itself."""
    if schema.base(node.op) not in OPERATORS or schema.base(node.op) == "matmul":
        return node
    args = list(node.args)
    for place, other in ((0, 1), (1, 0)):
        value = args[place] if len(args) > 1 else None
        made = graph.node.get(value.name) if isinstance(value, Ref) else None
        if made is None or schema.base(made.op) not in ("expand", "expand_as"):
            continue
        whole, result = graph.type_of(args[other]), node.type
        if not isinstance(whole, TensorType) or not isinstance(result, TensorType):
            continue
        if (whole.shape, whole.symbols) == (result.shape, result.symbols):
            args[place] = made.args[0]
    return replace(node, args=tuple(args))
