"""Hints: what a person would call a value, from the module or operator that made it."""

from __future__ import annotations

from collections.abc import Mapping

from prunec.emit import schema
from prunec.emit.simplify import Program
from prunec.ir.graph import Ref, TensorType

ARITHMETIC = frozenset({"add", "sub", "mul", "div", "rsub"})

TRANSPARENT = frozenset(
    """
    view reshape flatten unflatten transpose permute contiguous expand unsqueeze squeeze slice
    select chunk split split_with_sizes unbind roll to clone relu gelu silu sigmoid tanh dropout
    mul div
    """.split()
)
"""Operators whose result is still named after their first argument."""

OPERATORS: Mapping[str, str] = {
    "arange": "positions",
    "matmul": "scores",
    "bmm": "scores",
    "softmax": "attention",
    "mean": "mean",
    "var": "var",
    "cat": "joined",
    "stack": "stacked",
    "cos": "cos",
    "sin": "sin",
    "embedding": "embedded",
    "scaled_dot_product_attention": "attended",
}

SUFFIXES = ("_proj", "_projection", "_layer", "_linear", "_lin", "_fc")
PREFIXES = ("to_", "w_")


def module(path: str) -> str:
    """A value's name after the module that made it: ``q`` for ``attn.q_proj``."""
    name = path.rpartition(".")[2]
    if name.isdecimal():
        return "y"
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) or name
    for prefix in PREFIXES:
        name = name.removeprefix(prefix) or name
    return name


def plain(program: Program, value: str) -> str | None:
    """The name of a value that is no feature map: a mask, positions, rotary angles."""
    type_ = program.types[value]
    if not isinstance(type_, TensorType):
        return "n"
    if type_.dtype == "bool":
        return "mask"
    known = ("cos", "sin") if "float" in type_.dtype else ("positions",)
    made = program.node.get(value)
    while made is not None:
        found = OPERATORS.get(schema.base(made.op))
        if found in known:
            return found
        source = made.args[0] if made.args else None
        following = schema.base(made.op) in TRANSPARENT and isinstance(source, Ref)
        made = program.node.get(source.name) if following and isinstance(source, Ref) else None
    return None if "float" in type_.dtype else "index"


def parameter(program: Program, value: str) -> str | None:
    """What a module calls a value that it is given beside its main input."""
    if any(i.name == value for i in program.graph.inputs):
        return value
    return plain(program, value)
