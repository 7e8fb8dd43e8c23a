"""Moves: operators that only move dimensions, read as movements and written as one again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from prunec.emit import modules, schema, sizes
from prunec.emit.movement import (
    Merge,
    Move,
    Permute,
    Reshape,
    Split,
    Squeeze,
    Unsqueeze,
)
from prunec.emit.sizes import Size
from prunec.ir.graph import (
    Argument,
    Graph,
    Node,
    Ref,
    ScalarType,
    TensorType,
    Type,
)


def is_leaf(node: Node) -> bool:
    """Whether a torch.nn module that is one operator made a node."""
    return bool(node.scope) and modules.find(node.scope[-1].cls) is not None


def read(node: Node, given: Type) -> tuple[Move, ...] | None:
    """What a node does to the dimensions of its first argument; None where it does more."""
    if not isinstance(given, TensorType) or not isinstance(node.type, TensorType):
        return None
    base, rank = schema.base(node.op), given.rank
    if base not in READERS or not node.op.startswith("aten.") or not rank or is_leaf(node):
        return None
    return _read(node, base, given, node.type)


READERS = frozenset(
    """
    view reshape _unsafe_view flatten ravel unflatten squeeze unsqueeze transpose swapaxes swapdims
    permute movedim moveaxis t numpy_T mT
    """.split()
)
SHORT = frozenset({"mT", "numpy_T", "t", "movedim", "moveaxis", "ravel"})
"""Spellings that stay where they stand alone."""


def _read(node: Node, base: str, given: TensorType, made: TensorType) -> tuple[Move, ...] | None:
    rank = given.rank
    bound = schema.bind(node)
    match base:
        case "view" | "reshape" | "_unsafe_view":
            wanted = node.args[-1]
            if not isinstance(wanted, tuple) or given.dtype != made.dtype or not made.rank:
                return None
            inferred = wanted.index(-1) if -1 in wanted else None
            return (Reshape(sizes.of(made), inferred),)
        case "ravel":
            return (Merge(0, rank - 1),) if rank > 1 else ()
        case "flatten":
            first, last = _dim(bound["start_dim"], rank), _dim(bound["end_dim"], rank)
            return (Merge(first, last),) if last > first else ()
        case "unflatten":
            wanted, dim = bound["sizes"], _dim(bound["dim"], rank)
            assert isinstance(wanted, tuple)
            inferred = wanted.index(-1) if -1 in wanted else None
            return (Split(dim, sizes.of(made)[dim : dim + len(wanted)], inferred),)
        case "unsqueeze":
            return (Unsqueeze(_dim(bound["dim"], rank + 1)),)
        case "squeeze":
            dims = bound.get("dim", tuple(range(rank)))
            asked = {_dim(d, rank) for d in (dims if isinstance(dims, tuple) else (dims,))}
            ones = [i for i, s in enumerate(sizes.of(given)) if s.is_one and i in asked]
            return tuple(map(Squeeze, reversed(ones)))
        case _:
            return (Permute(_order(base, bound, rank)),)


def _order(base: str, bound: Mapping[str, Argument], rank: int) -> tuple[int, ...]:
    """The permutation of a transpose in any of its spellings."""
    if base == "permute":
        dims = bound["dims"]
        assert isinstance(dims, tuple)
        return tuple(_dim(d, rank) for d in dims)
    if base in ("movedim", "moveaxis"):
        first, to = (_dims(bound[name], rank) for name in ("source", "destination"))
        placed = dict(zip(to, first, strict=True))
        others = iter(i for i in range(rank) if i not in first)
        return tuple(placed[i] if i in placed else next(others) for i in range(rank))
    order = list(range(rank))
    if base == "numpy_T":
        return tuple(reversed(order))
    named = {"transpose": ("dim0", "dim1"), "swapaxes": ("axis0", "axis1")}
    names = named.get(base, named["transpose"])
    pair = [bound[n] for n in names if n in bound]
    i, j = (_dim(d, rank) for d in (pair or [rank - 2, rank - 1])) if rank > 1 else (0, 0)
    order[i], order[j] = order[j], order[i]
    return tuple(order)


def _dims(dims: Argument, rank: int) -> tuple[int, ...]:
    return tuple(_dim(d, rank) for d in (dims if isinstance(dims, tuple) else (dims,)))


def _dim(dim: Argument, rank: int) -> int:
    assert isinstance(dim, int)
    return dim % rank


def cost(moves: Iterable[Move]) -> int:
    """How many calls moves are written as; new dimensions in a row are one subscript."""
    runs = groupby(moves, key=lambda m: isinstance(m, Unsqueeze))
    return sum(1 if fresh else len(list(run)) for fresh, run in runs)


def apply(move: Move, given: Sequence[Size]) -> tuple[Size, ...]:
    """The sizes after a move."""
    match move:
        case Permute(order=order):
            return tuple(given[i] for i in order)
        case Split(dim=dim, sizes=parts):
            return (*given[:dim], *parts, *given[dim + 1 :])
        case Merge(first=first, last=last):
            return (*given[:first], sizes.product(given[first : last + 1]), *given[last + 1 :])
        case Reshape(sizes=wanted):
            return wanted
        case Unsqueeze(dim=dim):
            return (*given[:dim], sizes.ONE, *given[dim:])
        case Squeeze(dim=dim):
            return (*given[:dim], *given[dim + 1 :])


class UnknownError(Exception):
    """A dynamic size that no input of the model has as a dimension."""


@dataclass(frozen=True)
class Spelling:
    """Writes moves as operators. ``numbers`` are the nodes of run-time sizes that it added."""

    graph: Graph
    numbers: dict[str, Node] = field(default_factory=dict)

    def write(self, move: Move, given: Sequence[Size]) -> tuple[str, tuple[Argument, ...]]:
        """Operator and arguments behind the first.

        Raises:
            UnknownError: a size cannot be written.
        """
        match move:
            case Permute(order=order):
                return _permute(order)
            case Split(dim=dim, sizes=parts, inferred=marked):
                return "aten.unflatten.int", (dim, self._sizes(parts, marked, len(parts) - 1))
            case Merge(first=first, last=last):
                return "aten.flatten.using_ints", (first, -1 if last == len(given) - 1 else last)
            case Reshape(sizes=wanted, inferred=marked):
                return "aten.reshape.default", (self._sizes(wanted, marked, None),)
            case Unsqueeze(dim=dim):
                return "aten.unsqueeze.default", (dim,)
            case Squeeze(dim=dim):
                return "aten.squeeze.dim", (dim,)

    def _sizes(
        self, wanted: Sequence[Size], marked: int | None, otherwise: int | None
    ) -> tuple[Argument, ...]:
        """Sizes, one of them -1: a dynamic one, else what the model left open."""
        dynamic = [i for i, s in enumerate(wanted) if s.is_dynamic]
        computed = [i for i in dynamic if wanted[i].text not in wanted[i].symbols]
        open_ = (computed or dynamic)[-1] if dynamic else otherwise if marked is None else marked
        return tuple(-1 if i == open_ else self._number(s) for i, s in enumerate(wanted))

    def _number(self, size: Size) -> Argument:
        if not size.is_dynamic:
            return size.factor
        found = self._symbol(size.symbols[0])
        done = Size(1, size.symbols[:1], self._example(found))
        for symbol in size.symbols[1:]:
            other = self._symbol(symbol)
            done = done * Size(1, (symbol,), self._example(other))
            found = self._add("scalar.mul", (found, other), done)
        if size.factor != 1:
            found = self._add("scalar.mul", (found, size.factor), size)
        return found

    def _example(self, number: Ref) -> int:
        type_ = self.numbers[number.name].type
        assert isinstance(type_, ScalarType)
        return int(type_.example)

    def _symbol(self, symbol: str) -> Ref:
        for i in self.graph.inputs:
            if symbol in i.type.symbols:
                dim = i.type.symbols.index(symbol)
                size = Size(1, (symbol,), i.type.shape[dim])
                return self._add("size", (Ref(i.name), dim), size)
        raise UnknownError(symbol)

    def _add(self, op: str, args: tuple[Argument, ...], size: Size) -> Ref:
        name = f"{op.replace('.', '_')}_{size.text}"
        self.numbers[name] = Node(name, op, args, type=ScalarType("int", size.example))
        return Ref(name)


def _permute(order: Sequence[int]) -> tuple[str, tuple[Argument, ...]]:
    """A swap of two dimensions is a transpose."""
    moved = tuple(i for i, o in enumerate(order) if i != o)
    if len(moved) != 2:
        return "aten.permute.default", (tuple(order),)
    rank = len(order)
    if rank > 3 and moved == (rank - 2, rank - 1):
        moved = (-2, -1)
    return "aten.transpose.int", moved
