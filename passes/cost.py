"""Costs: exact multiply-adds and parameters of a model as functions of its kept widths.

The MACs of an operator are a product of its axis sizes and a parameter has the product of its
sizes, so a cost is a polynomial in the widths of the atoms. Counts are for one sample: a dynamic
batch size counts as one, every other dynamic size as in the example. What torch's `FlopCounterMode`
counts is twice what stands here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from prunec.diagnostics import InternalError
from prunec.ir.axis import Atom, Axis, Concat, Product
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, Weight, WeightRef
from prunec.ir.group import Axes
from prunec.passes.polynomial import Monomials, Polynomial, add, multiply

Metric = Literal["macs", "params"]
Sizes: TypeAlias = tuple[Monomials, ...]
BATCH = frozenset({"N", "B", "batch"})
"""Symbols that name the batch size."""


@dataclass(frozen=True)
class Term:
    """The cost of one node (MACs) or one parameter, and the module paths that it belongs to."""

    name: str
    metric: Metric
    owners: frozenset[str]
    monomials: Monomials


@dataclass(frozen=True)
class Costs:
    """What a model costs, term by term. ``sizes`` are the full widths of the atoms that occur."""

    terms: tuple[Term, ...]
    sizes: Mapping[int, int]
    _compiled: dict[tuple[Metric, frozenset[str] | None], Polynomial] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def total(
        self,
        metric: Metric,
        widths: Mapping[int, int] | None = None,
        scope: frozenset[str] | None = None,
    ) -> int:
        """The exact cost with ``widths`` (atom id -> kept channels, absent: all).

        With ``scope``, only what the modules at these paths, and all below them, compute or own.
        """
        found = self._compiled.get((metric, scope))
        if found is None:
            found = Polynomial.compile(self.monomials(metric, scope), tuple(self.sizes), self.sizes)
            self._compiled[metric, scope] = found
        kept = self.sizes if widths is None else {**self.sizes, **widths}
        return found.value(np.array([kept[a] for a in self.sizes], dtype=np.int64))

    def monomials(self, metric: Metric, scope: frozenset[str] | None = None) -> Monomials:
        """The cost as a sum of products of atoms."""
        return add(
            *(
                term.monomials
                for term in self.terms
                if term.metric == metric and (scope is None or _within(term.owners, scope))
            )
        )


def run(graph: Graph, axes: Axes) -> Costs:
    """The costs of a graph whose axes are solved."""
    sizes = _Sizes(graph, axes)
    terms = [
        Term(node.name, "macs", frozenset(c.path for c in node.scope) or frozenset({""}), macs)
        for node in graph.nodes
        if (rule := MACS.get(node.op.rpartition(".")[0])) and (macs := rule(sizes, node))
    ]
    for weight in graph.weights:
        if weight.kind == "parameter":
            owners = frozenset(n.rpartition(".")[0] for n in (weight.name, *weight.ties))
            terms.append(Term(weight.name, "params", owners, multiply(*sizes.weight(weight))))
    used = {atom for term in terms for monomial in term.monomials for atom in monomial}
    return Costs(tuple(terms), {a: n for a, n in sorted(sizes.free.items()) if a in used})


def _within(owners: frozenset[str], scope: frozenset[str]) -> bool:
    return any(
        path == root or not root or path.startswith(f"{root}.") for path in owners for root in scope
    )


class _Sizes:
    """The sizes of values and weights as polynomials in the free atoms, for one sample."""

    def __init__(self, graph: Graph, axes: Axes) -> None:
        self.graph, self.axes = graph, axes
        self.fixed: dict[int, int] = {}
        for atom, size in _samples(graph, axes):
            self.fixed.setdefault(atom, size)
        self.free: dict[int, int] = {}

    def out(self, node: Node) -> Sizes:
        return self.value(Ref(node.name))

    def value(self, argument: Argument) -> Sizes:
        """One size per dimension of a tensor argument."""
        match argument:
            case Ref(name=name):
                return tuple(self.size(axis) for axis in _dims(name, self.axes.values.get(name)))
            case WeightRef(name=name):
                return self.weight(self.graph.weight[name])
            case _:
                raise InternalError(f"no axes for the argument {argument}")

    def weight(self, weight: Weight) -> Sizes:
        """A weight that no operator reads has no axes, and always its full shape."""
        found = self.axes.weights.get(weight.name)
        if found is None:
            return tuple({(): n} for n in weight.type.shape)
        return tuple(self.size(axis) for axis in found)

    def size(self, axis: Axis) -> Monomials:
        match axis:
            case Atom(id=atom, size=size):
                if atom in self.fixed:
                    return {(): self.fixed[atom]}
                if atom in self.axes.frozen:
                    return {(): size}
                self.free[atom] = size
                return {(atom,): 1}
            case Product(factors=factors):
                return multiply(*(self.size(f) for f in factors))
            case Concat(parts=parts):
                return add(*(self.size(p) for p in parts))


# --- The batch -----------------------------------------------------------------------------------


def _samples(graph: Graph, axes: Axes) -> Iterator[tuple[int, int]]:
    """The atoms that count samples, with their size when the batch size is one."""
    symbols = {
        symbol: 1 if symbol in BATCH else size
        for node in graph.inputs
        for symbol, size in zip(node.type.symbols, node.type.shape, strict=True)
        if symbol is not None
    }
    for name, kind in graph.types.items():
        for symbol, axis in _dynamic(kind, axes.values.get(name, ())):
            expression = ast.parse(symbol, mode="eval").body
            if BATCH.isdisjoint(n.id for n in ast.walk(expression) if isinstance(n, ast.Name)):
                continue
            if isinstance(axis, Atom) and (size := _evaluate(expression, symbols)) is not None:
                yield axis.id, size


def _dynamic(kind: Type, dims: object) -> Iterator[tuple[str, object]]:
    if isinstance(kind, TensorType) and isinstance(dims, tuple) and len(dims) == kind.rank:
        yield from ((s, d) for s, d in zip(kind.symbols, dims, strict=True) if s is not None)
    elif isinstance(kind, tuple) and isinstance(dims, tuple) and len(dims) == len(kind):
        for item, inner in zip(kind, dims, strict=True):
            yield from _dynamic(item, inner)


def _evaluate(expression: ast.expr, symbols: Mapping[str, int]) -> int | None:
    """The value of integer arithmetic on symbols; None for what is more than that."""
    match expression:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return symbols.get(name)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, symbols), _evaluate(right, symbols)
            rule = _ARITHMETIC.get(type(op))
            return None if a is None or b is None or rule is None else rule(a, b)
        case _:
            return None


_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


# --- Multiply-adds, one rule per operator -------------------------------------------------------------


def _convolution(sizes: _Sizes, node: Node) -> Monomials:
    """y[n, o, ...] k[o, i, ...]: every output element reads one kernel of i * window weights."""
    if _argument(node, 6, "transposed") is True and "convolution" in node.op:
        return _transposed(sizes, node)
    kernel = sizes.value(_argument(node, 1, "weight"))
    return multiply(*sizes.out(node), *kernel[1:])


def _transposed(sizes: _Sizes, node: Node) -> Monomials:
    """x[n, i, ...] k[i, o, ...]: every input element is spread by one kernel of o * window
    weights."""
    kernel = sizes.value(_argument(node, 1, "weight"))
    return multiply(*sizes.value(_argument(node, 0, "input")), *kernel[1:])


def _linear(sizes: _Sizes, node: Node) -> Monomials:
    return multiply(*sizes.out(node), sizes.value(_argument(node, 1, "weight"))[-1])


def _matmul(sizes: _Sizes, node: Node) -> Monomials:
    return multiply(*sizes.out(node), sizes.value(_argument(node, 0, "self"))[-1])


def _addmm(sizes: _Sizes, node: Node) -> Monomials:
    """bias + a @ b; the bias comes first."""
    return multiply(*sizes.out(node), sizes.value(node.args[1])[-1])


def _attention(sizes: _Sizes, node: Node) -> Monomials:
    """q[..., l, e] k[..., s, e] v[..., s, f] -> y[..., l, f]; dense, also when causal."""
    q, k = (sizes.value(_argument(node, at, name)) for at, name in enumerate(("query", "key")))
    *outer, wide = sizes.out(node)
    return multiply(*outer, k[-2], add(q[-1], wide))


def _einsum(sizes: _Sizes, node: Node) -> Monomials:
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


def _labelled(subscript: str, sizes: Sizes) -> dict[str, Monomials]:
    """Label -> size; the dimensions of an ellipsis are called ``...1``, ``...2`` from the right."""
    before, dots, after = subscript.partition("...")
    count = len(sizes) - len(before) - len(after)
    labels = [*before, *(f"...{i}" for i in range(count, 0, -1) if dots), *after]
    return dict(zip(labels, sizes, strict=True))


def _widest(a: Monomials | None, b: Monomials | None) -> Monomials:
    """The size of a label that broadcasts: not the one that is constant 1."""
    return b if b is not None and (a is None or a == {(): 1}) else a or {(): 1}


def _recurrent(sizes: _Sizes, node: Node) -> Monomials:
    """Every matrix of every layer and direction, once per sample and step."""
    weights = node.args[2]
    if not isinstance(weights, tuple):
        raise InternalError(f"unexpected arguments of a recurrent operator: {node}")
    matrices = [shape for shape in map(sizes.value, weights) if len(shape) == 2]
    return multiply(*sizes.value(node.args[0])[:-1], add(*(multiply(*m) for m in matrices)))


Rule: TypeAlias = Callable[[_Sizes, Node], Monomials]
MACS: Mapping[str, Rule] = {
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
    "aten.einsum": _einsum,
    "aten.scaled_dot_product_attention": _attention,
    "aten.lstm": _recurrent,
    "aten.gru": _recurrent,
    "aten.rnn_tanh": _recurrent,
    "aten.rnn_relu": _recurrent,
}
"""Operators that multiply and add; any other (an embedding, a norm, a pooling) has no MACs."""


def _argument(node: Node, at: int, name: str) -> Argument:
    return node.args[at] if at < len(node.args) else dict(node.kwargs).get(name)


def _dims(name: str, found: object) -> tuple[Axis, ...]:
    dims = found if isinstance(found, tuple) else (None,)
    axes = tuple(dim for dim in dims if isinstance(dim, Atom | Product | Concat))
    if len(axes) < len(dims):
        raise InternalError(f"the value {name} has no axes where a tensor is expected: {found}")
    return axes
