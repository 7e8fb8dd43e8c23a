"""Sizes: dimensions as products of a number and of sizes that change from call to call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from math import prod

from prunec.ir.graph import Graph, TensorType, Type


@dataclass(frozen=True, slots=True)
class Size:
    """``factor`` times the symbols, which are sorted; ``example`` is what it was when traced.

    A symbol that is no name (``"N//2"``) counts as one in its own right.
    """

    factor: int
    symbols: tuple[str, ...] = ()
    example: int = 1

    @property
    def is_one(self) -> bool:
        return self.factor == 1 and not self.symbols

    @property
    def is_dynamic(self) -> bool:
        return bool(self.symbols)

    @property
    def text(self) -> str | None:
        """As `TensorType` writes it: None for a fixed size."""
        if not self.symbols:
            return None
        if self.factor == 1 and len(self.symbols) == 1:
            return self.symbols[0].removeprefix("(").removesuffix(")")
        return "*".join([str(self.factor)] * (self.factor != 1) + list(self.symbols))

    def __mul__(self, other: Size) -> Size:
        symbols = tuple(sorted((*self.symbols, *other.symbols)))
        return Size(self.factor * other.factor, symbols, self.example * other.example)

    def over(self, other: Size) -> Size | None:
        """The exact quotient; None where there is none for all values of the symbols."""
        left = Counter(self.symbols)
        left.subtract(other.symbols)
        if not other.factor or self.factor % other.factor or any(n < 0 for n in left.values()):
            return None
        return Size(
            self.factor // other.factor,
            tuple(sorted(left.elements())),
            self.example // other.example,
        )


ONE = Size(1)


def fixed(number: int) -> Size:
    return Size(number, (), number)


def product(sizes: Iterable[Size]) -> Size:
    return reduce(Size.__mul__, sizes, ONE)


def of(type_: TensorType) -> tuple[Size, ...]:
    """The sizes of a tensor."""
    return tuple(map(_size, type_.shape, type_.symbols))


def tensor(sizes: Iterable[Size], dtype: str) -> TensorType:
    """The type of a tensor of these sizes."""
    found = tuple(sizes)
    return TensorType(tuple(s.example for s in found), dtype, tuple(s.text for s in found))


def _size(example: int, symbol: str | None) -> Size:
    if symbol is None:
        return fixed(example)
    if not re.fullmatch(r"\w+(\*\w+)*", symbol):
        return Size(1, (f"({symbol})",), example)
    factors = symbol.split("*")
    number = int(factors[0]) if factors[0].isdecimal() else 1
    names = factors[1:] if factors[0].isdecimal() else factors
    return Size(number, tuple(sorted(names)), example)


def corrected(graph: Graph) -> Graph:
    """The graph with the factors of dynamic sizes as the example has them.

    Pruning may change the ``12`` of ``12*N``, which then is no longer what the shape says.
    """
    examples = {
        symbol: n
        for i in graph.inputs
        for symbol, n in zip(i.type.symbols, i.type.shape, strict=True)
        if symbol is not None
    }
    nodes = tuple(replace(n, type=_corrected(n.type, examples)) for n in graph.nodes)
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)


def _corrected(type_: Type, examples: Mapping[str, int]) -> Type:
    if isinstance(type_, tuple):
        return tuple(_corrected(t, examples) for t in type_)
    if not isinstance(type_, TensorType):
        return type_
    found = (_refactored(s, examples) for s in of(type_))
    return tensor(found, type_.dtype)


def _refactored(size: Size, examples: Mapping[str, int]) -> Size:
    if not all(s in examples for s in size.symbols):
        return size
    rest = prod(examples[s] for s in size.symbols)
    whole = rest > 0 and size.example % rest == 0
    return replace(size, factor=size.example // rest) if whole else size
