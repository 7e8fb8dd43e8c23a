"""Keys: what a forward does, apart from the names of its values and from numbers.

Modules with equal skeletons have equal source up to those numbers, and to what the modules that
they call are made of: a call counts by what it takes and returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from prunec.emit import folds, lift
from prunec.emit.folds import Fold
from prunec.emit.hierarchy import Kind
from prunec.emit.lift import Number
from prunec.emit.simplify import size_symbol
from prunec.emit.steps import Model, recurrence
from prunec.emit.tree import Argument as Given
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Node, Ref, TensorType, Type, WeightRef

Skips: TypeAlias = Mapping[int, Ref]
"""Items of a region that are left out, by number, with the operand that stands for their result."""


@dataclass(frozen=True)
class Key:
    """``skeleton`` is hashable; ``numbers`` are those of the operators, in order."""

    skeleton: object
    numbers: tuple[Number, ...]

    @property
    def whole(self) -> object:
        """Skeleton and numbers: equal for calls that do the same."""
        return self.skeleton, tuple((type(n.value).__name__, n.value) for n in self.numbers)


def of(model: Model, region: Region, skips: Skips | None = None) -> Key:
    """The key of a region without the items that are skipped."""
    walk = _Walk(model, skips or {})
    return Key(walk.run(region), tuple(walk.numbers))


@dataclass
class _Walk:
    """Numbers the values of one region in the order in which they occur.

    A dynamic size is known by where it can be read: ``places`` are values and their dimensions.
    """

    model: Model
    skips: Skips
    values: dict[str, int] = field(default_factory=dict)
    places: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    lists: dict[Argument, int] = field(default_factory=dict)
    numbers: list[Number] = field(default_factory=list)
    defined: int = 0

    def run(self, region: Region) -> object:
        boundary = self.model.boundaries(region)
        taken = tuple(self._define(r) for r in boundary.arguments)
        for number, (symbol, _) in enumerate(boundary.sizes):
            self._place(symbol, -1, number)
        items = []
        for number, item in folds.run(self.model, region):
            if isinstance(item, Fold):
                items.append(self._fold(region.path, item))
            elif number in self.skips:
                self._skip(item, self.skips[number])
            else:
                items.append(self._item(region.path, item))
        return taken, tuple(items), tuple(self.values[o] for o in boundary.outputs)

    def _skip(self, item: Node | Region, stands: Ref) -> None:
        results = (
            self.model.boundaries(item).outputs
            if isinstance(item, Region)
            else self.model.program.results(item)
        )
        for result in results:
            self.values[result] = self.values[stands.name]

    def _fold(self, path: str, fold: Fold) -> object:
        reads = tuple(self._encode(path, r) for r in fold.arguments)
        head = self.model.hierarchy.access(path, fold.container)
        return head, reads, fold.carried, self._define(fold.made)

    def _item(self, path: str, item: Node | Region) -> object:
        if isinstance(item, Region):
            boundary = self.model.boundaries(item)
            call = recurrence(self.model, item)
            given = boundary.arguments if call is None else call.reads
            reads = tuple(self._encode(path, r) for r in given)
            head = self.model.hierarchy.access(path, item.path)
            made = tuple(self._define(Ref(o)) for o in boundary.outputs)
            return head, reads, made, None if call is None else self._read(call.node)
        base = self.model.hierarchy.bases.get(path)
        if base is not None and item.name in base.calls:
            source = self._encode(path, base.calls[item.name])
            return base.construct.callee, source, self._define(Ref(item.name))
        args = tuple(self._argument(path, item, k, v) for k, v in lift.spread(item).items())
        read = self._read(item)
        made = tuple(self._define(Ref(r)) for r in self.model.program.results(item))
        return item.op, args, read, made

    def _argument(self, path: str, node: Node, name: str, value: Argument) -> object:
        usual = self._usual_scale(node) if name == "scale" else None
        stripped, numbers = lift.strip(node, name, usual if value is None else value)
        self.numbers += (replace(n, implied=n.value == usual) for n in numbers)
        return name, self._encode(path, stripped)

    def _usual_scale(self, node: Node) -> float | None:
        """What attention scales by unless told."""
        query = lift.spread(node).get("query")
        if not isinstance(query, Ref):
            return None
        return lift.default_scale(self.model.program.types[query.name])

    def _read(self, node: Node) -> object:
        """Which items of a tuple value are read."""
        parts = self.model.program.parts.get(node.name)
        return None if parts is None else tuple(p is not None for p in parts)

    def _define(self, value: Given) -> object:
        if isinstance(value, tuple):
            self.lists[value] = len(self.lists)
            return "list", self._type(self.model.program.types[value[0].name], None)
        self.values[value.name] = self.defined
        self.defined += 1
        if isinstance(value, WeightRef):
            return "weight"
        return self._type(self.model.program.types[value.name], self.defined - 1)

    def _place(self, symbol: str, value: int, dim: int) -> None:
        self.places[symbol] = (*self.places.get(symbol, ()), (value, dim))

    def _type(self, type_: Type, value: int | None) -> object:
        if not isinstance(type_, TensorType):
            return "number"
        for dim, symbol in enumerate(type_.symbols):
            if symbol is not None and value is not None:
                self._place(symbol, value, dim)
        return type_.dtype, type_.rank

    def _encode(self, path: str, argument: object) -> object:
        match argument:
            case Ref(name=name) if name in self.model.program.scalars:
                return self._number(path, self.model.program.scalars[name])
            case Ref(name=name):
                return "value", self.values[name]
            case WeightRef(name=name):
                reached = self.model.hierarchy.weight(path, name)
                return "weight", self.values[name] if reached is None else reached
            case tuple() if argument in self.lists:
                return "list", self.lists[argument]
            case tuple():
                return tuple(self._encode(path, a) for a in argument)
            case _:
                return type(argument).__name__, argument

    def _number(self, path: str, node: Node) -> object:
        if node.op != "size":
            return node.op, tuple(self._encode(path, a) for a in node.args)
        symbol = size_symbol(node, self.model.program.types)
        if symbol is None:
            return "fixed", str(node.type)
        return "size", self.places.get(symbol, ())


def unequal(model: Model, root: Region) -> Mapping[int, Region]:
    """Calls of a module that do something else than its first call, by identity.

    All calls of a torch.nn leaf do what it does, whatever tensors they are given.
    """
    first: dict[str, object] = {}
    calls = (r for r in root.walk() if r.path and model.hierarchy.kind(r.path) is not Kind.LEAF)
    return {
        id(r): r for r in calls if first.setdefault(r.path, whole := of(model, r).whole) != whole
    }
