"""Keys: what a forward does, apart from the names of its values; equal keys are equal source."""

from __future__ import annotations

from collections.abc import Mapping

from prunec.emit.hierarchy import Kind
from prunec.emit.simplify import size_symbol
from prunec.emit.steps import Model, recurrence
from prunec.emit.tree import Argument as Given
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Node, Ref, TensorType, Type, WeightRef


class Keys:
    """The keys of the regions of one model, each computed once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._found: dict[int, tuple[Region, object]] = {}

    def __call__(self, region: Region) -> object:
        known = self._found.get(id(region))
        if known is None:
            known = self._found[id(region)] = region, _Walk(self._model, self).run(region)
        return known[1]


class _Walk:
    """Numbers the values and dynamic sizes of one region in the order in which they occur."""

    def __init__(self, model: Model, keys: Keys) -> None:
        self.model = model
        self.keys = keys
        self.values: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.lists: dict[Argument, int] = {}

    def run(self, region: Region) -> object:
        boundary = self.model.boundaries(region)
        taken = tuple(self._define(r) for r in boundary.arguments)
        for symbol, _ in boundary.sizes:
            self.sizes.setdefault(symbol, len(self.sizes))
        items = tuple(self._item(region.path, i) for i in region.items)
        return taken, items, tuple(self.values[o] for o in boundary.outputs)

    def _item(self, path: str, item: Node | Region) -> object:
        if isinstance(item, Region):
            boundary = self.model.boundaries(item)
            call = recurrence(self.model, item)
            given = boundary.arguments if call is None else call.reads
            reads = tuple(self._encode(path, r) for r in given)
            head = self.model.hierarchy.access(path, item.path)
            made = tuple(self._define(Ref(o)) for o in boundary.outputs)
            leaf = self.model.hierarchy.kind(item.path) is Kind.LEAF
            if call is not None:
                return head, reads, made, self._read(call.node)
            return head, reads, made, None if leaf else self.keys(item)
        base = self.model.hierarchy.bases.get(path)
        if base is not None and item.name in base.calls:
            source = self._encode(path, base.calls[item.name])
            return base.construct.callee, source, self._define(Ref(item.name))
        args = tuple(self._encode(path, a) for a in item.args)
        kwargs = tuple((k, self._encode(path, v)) for k, v in item.kwargs)
        read = self._read(item)
        made = tuple(self._define(Ref(r)) for r in self.model.program.results(item))
        return item.op, args, kwargs, read, made

    def _read(self, node: Node) -> object:
        """Which items of a tuple value are read."""
        parts = self.model.program.parts.get(node.name)
        return None if parts is None else tuple(p is not None for p in parts)

    def _define(self, value: Given) -> object:
        if isinstance(value, tuple):
            self.lists[value] = len(self.lists)
            return "list", self._type(self.model.program.types[value[0].name])
        self.values[value.name] = len(self.values)
        if isinstance(value, WeightRef):
            return "weight"
        return self._type(self.model.program.types[value.name])

    def _type(self, type_: Type) -> object:
        if not isinstance(type_, TensorType):
            return "number"
        sizes = (
            None if s is None else self.sizes.setdefault(s, len(self.sizes)) for s in type_.symbols
        )
        return type_.dtype, tuple(sizes)

    def _encode(self, path: str, argument: Argument) -> object:
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
        return "size", self.sizes.setdefault(symbol, len(self.sizes))


def unequal(model: Model, root: Region) -> Mapping[int, Region]:
    """Calls of a module that do something else than its first call, by identity.

    All calls of a torch.nn leaf do what it does, whatever tensors they are given.
    """
    keys = Keys(model)
    first: dict[str, object] = {}
    calls = (r for r in root.walk() if r.path and model.hierarchy.kind(r.path) is not Kind.LEAF)
    return {id(r): r for r in calls if first.setdefault(r.path, keys(r)) != keys(r)}
