"""Sizes: the dimensions of values and weights as polynomials in the free atoms, for one sample.

A dynamic batch size counts as one, every other dynamic size as in the example.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from prunec.diagnostics import InternalError
from prunec.ir.axis import Atom, Axis, Concat, Product
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, Weight, WeightRef
from prunec.ir.group import Axes
from prunec.passes.polynomial import Monomials, add, multiply

Shape: TypeAlias = tuple[Monomials, ...]
BATCH = frozenset({"N", "B", "batch"})
"""Names of a symbol that mean the batch size."""


class Sizes:
    """Reads sizes off the solved axes; ``free`` collects the full sizes of the free atoms seen."""

    def __init__(self, graph: Graph, axes: Axes) -> None:
        self.graph, self.axes = graph, axes
        self.fixed: dict[int, int] = {}
        for atom, size in _samples(graph, axes):
            self.fixed.setdefault(atom, size)
        self.free: dict[int, int] = {}

    def out(self, node: Node) -> Shape:
        return self.value(Ref(node.name))

    def value(self, argument: Argument) -> Shape:
        """One size per dimension of a tensor argument."""
        match argument:
            case Ref(name=name):
                return tuple(self.size(axis) for axis in _dims(name, self.axes.values.get(name)))
            case WeightRef(name=name):
                return self.weight(self.graph.weight[name])
            case _:
                raise InternalError(f"no axes for the argument {argument}")

    def tensors(self, name: str) -> Iterator[tuple[TensorType, Shape]]:
        """The type and the sizes of every tensor in a value."""
        return self._tensors(name, self.graph.types[name], self.axes.values.get(name))

    def _tensors(self, name: str, kind: Type, dims: object) -> Iterator[tuple[TensorType, Shape]]:
        if isinstance(kind, TensorType):
            yield kind, tuple(self.size(axis) for axis in _dims(name, dims))
        elif isinstance(kind, tuple):
            if not isinstance(dims, tuple) or len(dims) != len(kind):
                raise InternalError(f"the value {name} has no axes for {len(kind)} items: {dims}")
            for item, inner in zip(kind, dims, strict=True):
                yield from self._tensors(name, item, inner)

    def weight(self, weight: Weight) -> Shape:
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


def _dims(name: str, found: object) -> tuple[Axis, ...]:
    dims = found if isinstance(found, tuple) else (None,)
    axes = tuple(dim for dim in dims if isinstance(dim, Atom | Product | Concat))
    if len(axes) < len(dims):
        raise InternalError(f"the value {name} has no axes where a tensor is expected: {found}")
    return axes


def _samples(graph: Graph, axes: Axes) -> Iterator[tuple[int, int]]:
    """The atoms that count samples, with their size when the batch size is one."""
    batch, sizes = _batch(graph), _symbols(graph)
    for name, kind in graph.types.items():
        for symbol, axis in _dynamic(kind, axes.values.get(name, ())):
            expression = ast.parse(symbol, mode="eval").body
            if batch.isdisjoint(n.id for n in ast.walk(expression) if isinstance(n, ast.Name)):
                continue
            if isinstance(axis, Atom) and (size := _evaluate(expression, sizes)) is not None:
                yield axis.id, size


def of_one_sample(graph: Graph) -> Callable[[TensorType], tuple[int, ...]]:
    """The shape of a value of the graph when the batch size is one, by its type."""
    sizes = _symbols(graph)

    def shape(kind: TensorType) -> tuple[int, ...]:
        found = []
        for symbol, size in zip(kind.symbols, kind.shape, strict=True):
            one = symbol and _evaluate(ast.parse(symbol, mode="eval").body, sizes)
            found.append(one if isinstance(one, int) else size)
        return tuple(found)

    return shape


def _symbols(graph: Graph) -> dict[str, int]:
    """The dynamic sizes of the inputs: one for the batch size, else as in the example."""
    batch = _batch(graph)
    return {
        symbol: 1 if symbol in batch else size
        for node in graph.inputs
        for symbol, size in zip(node.type.symbols, node.type.shape, strict=True)
        if symbol is not None
    }


def _batch(graph: Graph) -> frozenset[str]:
    """The symbols that name the batch size: by their name, else what leads the first input."""
    named = {s for node in graph.inputs for s in node.type.symbols if s in BATCH}
    leading = {s for node in graph.inputs[:1] for s in node.type.symbols[:1] if s is not None}
    return frozenset(s for s in named or leading if s is not None)


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
    ast.Pow: lambda a, b: a**b,
}
