"""Calls: how each operator is written in plain torch.

First come Python's operators, then the table of functions whose public name or order of arguments
differs from the operator's, then a few special spellings. Everything else follows one rule: an
operator is the tensor method, or the torch function, of its own name, with arguments in the order
of its schema. ``torch.ops`` is the last resort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from prunec.emit import arguments, index, schema
from prunec.emit.arguments import Render
from prunec.emit.construct import same
from prunec.emit.constructors import square
from prunec.emit.expr import (
    ATOM,
    COMPARE,
    CONDITION,
    NOT,
    PRODUCT,
    UNARY,
    Expr,
    binary,
    call,
    named,
)
from prunec.emit.schema import Param
from prunec.emit.special import SPECIAL
from prunec.emit.spellings import (
    DEFAULTS,
    FOLLOWS,
    FUNCTIONS,
    HEAVY,
    HIDDEN,
    LIGHT,
    OPERATORS,
    SCALAR_OPERATORS,
    SHAPED,
)
from prunec.ir.graph import Argument, Node


def effort(node: Node) -> float:
    """How much of a line's readability an operator takes: 1 for a plain call."""
    base = schema.base(node.op)
    if base in HEAVY:
        return 1.5
    if base in index.OPS or base in ("neg", schema.STORE):
        return 0.25
    return 0.5 if base in LIGHT or (base not in FUNCTIONS and hasattr(torch.Tensor, base)) else 1


def spell(node: Node, render: Render) -> Expr:
    """The expression for a node."""
    base = schema.base(node.op)
    bound = schema.bind(node)
    if base in OPERATORS and bound.get("alpha", 1) == 1 and bound.get("rounding_mode") is None:
        return _operator(base, bound, render)
    if base in SPECIAL:
        found = SPECIAL[base](node, bound, render)
        if found is not None:
            return found
    if base in FUNCTIONS:
        return _function(node, base, bound, render)
    return _generic(node, base, bound, render)


def _operator(base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    text, level = OPERATORS[base]
    values = tuple(bound.values())
    return binary(text, level, render.show(values[0]), render.show(values[1]))


def _function(node: Node, base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    callee, spec = FUNCTIONS[base]
    known = {p.name: p for p in schema.params(node.op)}
    items: list[Expr] = []
    skipped = False
    for part in spec.split():
        public_name, _, source = part.rstrip("=").rpartition(":")
        value = _value(base, source, bound)
        default = DEFAULTS.get((base, source), known[source].default)
        follows = (
            source in FOLLOWS and value is False and bound.get("running_mean", True) is not None
        )
        same_value = same(square(value), square(default)) or (source == "stride" and value == ())
        if same_value and not follows:
            skipped = True
            continue
        shown = arguments.one(known[source], value, render)
        keyword = part.endswith("=") or skipped
        items.append(named(public_name or source, shown) if keyword else shown)
    return call(callee, items)


def _value(base: str, name: str, bound: Mapping[str, Argument]) -> Argument:
    value = bound[name]
    if name == "stride" and "pool" in base and square(value) == square(bound["kernel_size"]):
        return ()
    if name == "padding_idx" and value is None:
        return -1
    return value


def _generic(node: Node, base: str, bound: Mapping[str, Argument], render: Render) -> Expr:
    known = [p for p in schema.params(node.op) if p.name not in HIDDEN and p.name in bound]
    callee = _callee(base, known)
    if callee is None:
        namespace, name, overload = node.op.split(".")
        items = arguments.row(known, bound, render, lists=True)
        return call(f"torch.ops.{namespace}.{name}.{overload}", items)
    if callee == "method":
        receiver, rest = render.show(bound["self"]).at(ATOM), known[1:]
        sizes = bound[rest[0].name] if rest else None
        if base in SHAPED and isinstance(sizes, tuple):
            return call(f"{receiver}.{base}", map(render.show, sizes))
        return call(f"{receiver}.{base}", arguments.row(rest, bound, render))
    return call(callee, arguments.row(known, bound, render))


def _callee(base: str, known: Sequence[Param]) -> str | None:
    if (
        known
        and not base.startswith("_")
        and known[0].name == "self"
        and known[0].kind == "Tensor"
        and hasattr(torch.Tensor, base)
    ):
        return "method"
    if not base.startswith("_") and hasattr(torch, base):
        return f"torch.{base}"
    for room in ("linalg", "special", "fft"):
        if base.startswith(f"{room}_"):
            return f"torch.{room}.{base.removeprefix(f'{room}_')}"
    return None


def scalar(node: Node, show: Callable[[Argument], Expr]) -> Expr:
    """A number computed from sizes."""
    name = node.op.removeprefix("scalar.")
    args = [show(a) for a in node.args]
    if name in SCALAR_OPERATORS:
        text, level = SCALAR_OPERATORS[name]
        return binary(text, level, args[0], args[1])
    match name:
        case "neg":
            return Expr(f"-{args[0].at(UNARY)}", UNARY)
        case "ceil":
            return call("int", [Expr(f"-(-{args[0].at(UNARY)} // 1)", UNARY)])
        case "floor":
            return call("int", [binary("//", PRODUCT, args[0], Expr("1"))])
        case "trunc":
            return call("int", [args[0]])
        case "pos":
            return args[0]
        case "ite":
            one, other = args[1].at(COMPARE), args[2].at(COMPARE)
            return Expr(f"{one} if {args[0].at(NOT)} else {other}", CONDITION)
        case "not":
            return Expr(f"not {args[0].at(COMPARE)}", NOT)
        case _:
            return call(name, args)
