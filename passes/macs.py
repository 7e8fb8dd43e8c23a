"""Multiply-adds: one rule per operator that has any.

Each is a product of the operator's axis sizes; what torch's `FlopCounterMode` counts is twice that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from prunec.diagnostics import InternalError
from prunec.ir.graph import Argument, Node
from prunec.passes.polynomial import Monomials, add, multiply
from prunec.passes.sizes import Shape, Sizes


def run(sizes: Sizes, node: Node) -> Monomials:
    """The multiply-adds of a node; none for an operator without a rule."""
    rule = RULES.get(node.op.rpartition(".")[0])
    return {} if rule is None else rule(sizes, node)


def _convolution(sizes: Sizes, node: Node) -> Monomials:
    """y[n, o, ...] k[o, i, ...]: every output element reads one kernel of i * window weights."""
    if _argument(node, 6, "transposed") is True and "convolution" in node.op:
        return _transposed(sizes, node)
    kernel = sizes.value(_argument(node, 1, "weight"))
    return multiply(*sizes.out(node), *kernel[1:])


def _transposed(sizes: Sizes, node: Node) -> Monomials:
    """x[n, i, ...] k[i, o, ...]: every input element spreads over o * window weights."""
    kernel = sizes.value(_argument(node, 1, "weight"))
    return multiply(*sizes.value(_argument(node, 0, "input")), *kernel[1:])


def _linear(sizes: Sizes, node: Node) -> Monomials:
    return multiply(*sizes.out(node), sizes.value(_argument(node, 1, "weight"))[-1])


def _matmul(sizes: Sizes, node: Node) -> Monomials:
    return multiply(*sizes.out(node), sizes.value(_argument(node, 0, "self"))[-1])


def _addmm(sizes: Sizes, node: Node) -> Monomials:
    """bias + a @ b; the bias comes first."""
    return multiply(*sizes.out(node), sizes.value(node.args[1])[-1])


def _attention(sizes: Sizes, node: Node) -> Monomials:
    """q[..., l, e] k[..., s, e] v[..., s, f] -> y[..., l, f]; dense, also when causal."""
    q, k = (sizes.value(_argument(node, at, name)) for at, name in enumerate(("query", "key")))
    *outer, wide = sizes.out(node)
    return multiply(*outer, k[-2], add(q[-1], wide))


def _grouped(sizes: Sizes, node: Node) -> Monomials:
    """x[t, i] w[E, i, o] -> y[t, o]: every row meets one matrix, however many there are."""
    return multiply(*sizes.out(node), sizes.value(node.args[0])[-1])


def _einsum(sizes: Sizes, node: Node) -> Monomials:
    """Operands are contracted in pairs from the left, as torch does without opt_einsum.

    A label that only one operand has, and nothing later needs, is summed out first, at no
    multiply-adds.
    """
    equation, operands = node.args[0], node.args[1]
    if not isinstance(equation, str) or not isinstance(operands, tuple):
        raise InternalError(f"unexpected arguments of einsum: {node}")
    left, arrow, right = equation.replace(" ", "").partition("->")
    shapes = [
        _labelled(sub, sizes.value(o)) for sub, o in zip(left.split(","), operands, strict=True)
    ]
    letters = "".join(left.replace(".", "").split(","))
    result = set(right.replace(".", "")) if arrow else {c for c in letters if letters.count(c) == 1}
    result |= {label for shape in shapes for label in shape if len(label) > 1}
    total: Monomials = {}
    current = shapes[0]
    for at, shape in enumerate(shapes[1:], start=2):
        later = result.union(*shapes[at:])
        both = {n: _widest(current.get(n), shape.get(n)) for n in {**current, **shape}}
        used = {n: s for n, s in both.items() if n in later or (n in current and n in shape)}
        if any(n not in later for n in used):
            total = add(total, multiply(*used.values()))
        current = {n: s for n, s in used.items() if n in later}
    return total


def _labelled(subscript: str, sizes: Shape) -> dict[str, Monomials]:
    """Label -> size; the dimensions of an ellipsis are called ``...1``, ``...2`` from the right."""
    before, dots, after = subscript.partition("...")
    count = len(sizes) - len(before) - len(after)
    labels = [*before, *(f"...{i}" for i in range(count, 0, -1) if dots), *after]
    return dict(zip(labels, sizes, strict=True))


def _widest(a: Monomials | None, b: Monomials | None) -> Monomials:
    """The size of a label that broadcasts: not the one that is constant 1."""
    return b if b is not None and (a is None or a == {(): 1}) else a or {(): 1}


def _recurrent(sizes: Sizes, node: Node) -> Monomials:
    """Every matrix of every layer and direction, once per sample and step."""
    weights = node.args[3] if node.op.endswith(".data") else node.args[2]
    if not isinstance(weights, tuple):
        raise InternalError(f"unexpected arguments of a recurrent operator: {node}")
    matrices = [shape for shape in map(sizes.value, weights) if len(shape) == 2]
    return multiply(*sizes.value(node.args[0])[:-1], add(*(multiply(*m) for m in matrices)))


def _cell(sizes: Sizes, node: Node) -> Monomials:
    """Both matrices of one step, once per sample."""
    matrices = (sizes.value(_argument(node, at, name)) for at, name in ((2, "w_ih"), (3, "w_hh")))
    samples = sizes.value(node.args[0])[:-1]
    return multiply(*samples, add(*(multiply(*m) for m in matrices)))


Rule: TypeAlias = Callable[[Sizes, Node], Monomials]
RULES: Mapping[str, Rule] = {
    "aten.conv1d": _convolution,
    "aten.conv2d": _convolution,
    "aten.conv3d": _convolution,
    "aten.convolution": _convolution,
    "aten.conv_transpose1d": _transposed,
    "aten.conv_transpose2d": _transposed,
    "aten.conv_transpose3d": _transposed,
    "aten.linear": _linear,
    "aten.matmul": _matmul,
    "aten.mm": _matmul,
    "aten.bmm": _matmul,
    "aten.mv": _matmul,
    "aten.dot": _matmul,
    "aten.addmm": _addmm,
    "aten.addmv": _addmm,
    "aten.baddbmm": _addmm,
    "aten._grouped_mm": _grouped,
    "transformers.grouped_mm_fallback": _grouped,
    "aten.einsum": _einsum,
    "aten.scaled_dot_product_attention": _attention,
    "aten.lstm": _recurrent,
    "aten.gru": _recurrent,
    "aten.rnn_tanh": _recurrent,
    "aten.rnn_relu": _recurrent,
    **{f"aten.{name}_cell": _cell for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}
"""Operators that multiply and add; any other (an embedding, a norm, a pooling) has no MACs."""


def _argument(node: Node, at: int, name: str) -> Argument:
    return node.args[at] if at < len(node.args) else dict(node.kwargs).get(name)
