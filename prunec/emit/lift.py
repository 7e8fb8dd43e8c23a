"""Lift: numbers in a forward that its class keeps as attributes, where its instances differ.

A lifted number is still the number that the first instance has, so that whatever looks at values
goes on working; it is written as its attribute, and equals nothing but itself, so that it is never
taken for a default nor joined with another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from prunec.emit import schema, stores
from prunec.emit.expr import LiftedFloat, LiftedInt
from prunec.emit.schema import LAST
from prunec.ir.graph import Argument, Node, TensorType, Type

Place: TypeAlias = tuple[str, tuple[int, ...]]
"""Where a number stands in an operator: the argument's name, and indices into nested tuples."""

NOUNS: Mapping[str, str] = {
    "alpha": "scale",
    "dilation": "dilation",
    "end": "stop",
    "eps": "eps",
    "exponent": "exponent",
    "fill_value": "fill",
    "groups": "groups",
    "index": "index",
    "kernel_size": "kernel_size",
    "length": "length",
    "max": "high",
    "min": "low",
    "negative_slope": "negative_slope",
    "normalized_shape": "width",
    "num_groups": "groups",
    "output_size": "output_size",
    "pad": "pad",
    "padding": "padding",
    "repeats": "repeats",
    "scale": "scale",
    "scale_factors": "scale_factor",
    "shape": "size",
    "shifts": "shift",
    "size": "size",
    "sizes": "size",
    "split_size": "split_size",
    "split_sizes": "split_size",
    "start": "start",
    "step": "step",
    "stride": "stride",
    "value": "value",
}
"""Arguments whose numbers may be lifted, with what the attribute is called."""

OPERANDS: Mapping[str, str] = {"add": "offset", "sub": "offset", "mul": "scale", "div": "divisor"}
"""Arithmetic with a number."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that may be lifted: where it stands, its value, what an attribute is called.

    An ``implied`` number is what torch takes unless told.
    """

    node: str
    place: Place
    value: int | float
    noun: str
    implied: bool = False


def strip(node: Node, name: str, value: Argument) -> tuple[object, tuple[Number, ...]]:
    """An argument with types in place of its numbers, and these; what is no number stays."""
    numbers: list[Number] = []
    return _strip(node, name, value, (), numbers), tuple(numbers)


def default_scale(query: Type) -> float | None:
    """What attention scales by unless told: one over the root of the head's size."""
    if not isinstance(query, TensorType) or query.symbols[-1] is not None:
        return None
    return 1 / math.sqrt(query.shape[-1])


def apply(node: Node, values: Mapping[Place, Argument]) -> Node:
    """The node with other values at some places."""
    if not values:
        return node
    bound = spread(node)
    changed = {arg: _put(bound[arg], (), arg, values) for arg, _ in values}
    params = schema.params(node.op)
    args = tuple(changed.pop(p.name, value) for p, value in zip(params, node.args, strict=False))
    kept = tuple((k, changed.pop(k, v)) for k, v in node.kwargs)
    return replace(node, args=args, kwargs=(*kept, *changed.items()))


def lifted(value: float, source: str) -> LiftedInt | LiftedFloat:
    """A number that is written as an attribute."""
    return LiftedFloat(value, source) if isinstance(value, float) else LiftedInt(value, source)


def spread(node: Node) -> dict[str, Argument]:
    """Every argument by name, with one number for all dimensions spread over them."""
    if not node.op.startswith("aten.") and node.op != schema.STORE:
        return {str(i): a for i, a in enumerate(node.args)} | dict(node.kwargs)
    bound = dict(schema.bind(node))
    for param in schema.params(node.op):
        value = bound.get(param.name)
        if param.size is not None and "int" in param.kind.lower():
            if isinstance(value, int) and not isinstance(value, bool):
                bound[param.name] = (value,) * param.size
            elif isinstance(value, tuple) and len(value) == 1 and param.size > 1:
                bound[param.name] = value * param.size
    return bound


def _strip(
    node: Node, name: str, value: Argument, at: tuple[int, ...], found: list[Number]
) -> object:
    if isinstance(value, tuple):
        return tuple(_strip(node, name, v, (*at, i), found) for i, v in enumerate(value))
    noun = _noun(node, name, at)
    if isinstance(value, bool) or not isinstance(value, int | float) or noun is None:
        return value
    if value in (-1, LAST) or (name in ("start", "size", "sizes", "shape") and value == 0):
        return value
    found.append(Number(node.name, (name, at), value, noun))
    return type(value)


def _noun(node: Node, name: str, at: tuple[int, ...]) -> str | None:
    base = schema.base(node.op)
    if name == "other" or (name == "self" and base == "rsub"):
        return OPERANDS.get(base)
    if base == "unflatten" and name == "sizes" and _attends(node):
        return {0: "head_dim", 1: "num_heads"}.get(_last(node, name) - at[0], "size")
    if base in ("reshape", "view") and at and at[0] == _last(node, name):
        return "features"
    if node.op == schema.STORE and name == "index":
        return stores.noun(node, at)
    return NOUNS.get(name)


def _last(node: Node, name: str) -> int:
    sizes = schema.bind(node)[name]
    return len(sizes) - 1 if isinstance(sizes, tuple) else 0


def _attends(node: Node) -> bool:
    """Whether an attention splits the last dimension of a sequence."""
    bound = schema.bind(node)
    sizes, dim = bound["sizes"], bound["dim"]
    if not isinstance(node.type, TensorType) or not isinstance(sizes, tuple) or not node.scope:
        return False
    last = node.type.rank - len(sizes)
    named = "att" in node.scope[-1].cls.rpartition(".")[2].lower()
    return named and last > 0 and dim in (last, -1)


def _put(
    value: Argument, at: tuple[int, ...], arg: str, values: Mapping[Place, Argument]
) -> Argument:
    if (arg, at) in values:
        return values[arg, at]
    if isinstance(value, tuple):
        return tuple(_put(v, (*at, i), arg, values) for i, v in enumerate(value))
    return value
