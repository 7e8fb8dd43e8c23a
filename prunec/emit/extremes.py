"""Extremes: the least number of a dtype, with which scores are masked, written as that.

A mask of ``-3.4e38`` overflows once the model is moved to a narrower dtype; that of
``torch.finfo(x.dtype).min`` moves along. Only masks that nothing but a softmax sees are written so:
it makes zeros of either number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from prunec.emit import schema
from prunec.emit.expr import Lowest
from prunec.ir.graph import Argument, Node, Ref, TensorType, Tree, leaves

MASKS: Mapping[str, str] = {
    "aten.where.ScalarOther": "other",
    "aten.where.ScalarSelf": "self",
    "aten.masked_fill.Scalar": "value",
    "aten.masked_fill.Tensor": "value",
}
"""Operators that put a number where a mask says so, and the name of the number."""

SINKS: Mapping[str, str] = {
    "softmax": "self",
    "_softmax": "self",
    "scaled_dot_product_attention": "attn_mask",
}

CARRIERS = frozenset(
    """where masked_fill contiguous clone to _to_copy type_as view reshape flatten unflatten
    unsqueeze squeeze transpose permute expand expand_as slice select narrow add""".split()
)
"""Operators that hand on numbers as they are, or move them by little."""


def run(nodes: Sequence[Node], output: Tree, usual: str) -> tuple[Node, ...]:
    """The nodes with masks of the least number marked, where the model's dtype is ``usual``."""
    found = {node.name for node in nodes if _number(node, usual) is not None}
    if not found:
        return tuple(nodes)
    seen = _blocked(nodes, found, {ref.name for ref in leaves(output)})
    return tuple(_marked(n, usual) if n.name in found - seen else n for n in nodes)


def _number(node: Node, usual: str) -> float | None:
    """The least number of the dtype that a node masks with, if it does."""
    name = MASKS.get(node.op)
    if name is None or not isinstance(node.type, TensorType) or node.type.dtype != usual:
        return None
    dtype = getattr(torch, usual)
    value = schema.bind(node)[name]
    least = dtype.is_floating_point and isinstance(value, float) and value == torch.finfo(dtype).min
    return value if least and isinstance(value, float) else None


def _marked(node: Node, usual: str) -> Node:
    value = _number(node, usual)
    assert value is not None

    def mark(argument: Argument) -> Argument:
        same = isinstance(argument, float) and argument == value
        return Lowest(value, usual) if same else argument

    kwargs = tuple((k, mark(v)) for k, v in node.kwargs)
    return replace(node, args=tuple(map(mark, node.args)), kwargs=kwargs)


def _blocked(nodes: Sequence[Node], found: set[str], returned: set[str]) -> set[str]:
    """Values of which something else than a softmax sees the least number."""
    holds = set(found)
    for node in nodes:
        if schema.base(node.op) in CARRIERS and any(r.name in holds for r in node.refs()):
            holds.add(node.name)
    blocked = holds & returned
    for node in reversed(nodes):
        mine = [r.name for r in node.refs() if r.name in holds]
        base = schema.base(node.op)
        sink = SINKS.get(base)
        if sink is not None:
            given = schema.bind(node)[sink]
            fine = mine == [given.name] if isinstance(given, Ref) else not mine
        else:
            fine = base in CARRIERS and node.name not in blocked
            fine = fine and not (base == "add" and (len(mine) > 1 or _scaled(node)))
        if not fine:
            blocked.update(mine)
    return blocked


def _scaled(node: Node) -> bool:
    return schema.bind(node).get("alpha", 1) != 1
