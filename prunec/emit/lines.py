"""Lines: the statements of each class's constructor, with settings still as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from prunec.emit.construct import Arg, Construct, Hole, Text, dtype
from prunec.emit.expr import Expr, quote
from prunec.emit.hierarchy import Hierarchy, Kind, is_under, join, numbered
from prunec.emit.names import attribute, is_plain
from prunec.ir.graph import Weight


@dataclass(frozen=True)
class Line:
    """``prefix value``: an assignment, or a plain statement when the prefix is empty.

    A line with a ``flag`` stands in those instances only that the flag says.
    """

    prefix: str
    value: Construct | Hole | Text
    flag: Hole | None = None


Child = Callable[[str], "Construct | None"]
"""The construction of the module at a path; None where it is not constructed."""


def statement(text: str) -> Line:
    """A line without settings."""
    return Line("", Text(Expr(text)))


class Constructor:
    """Writes constructors; ``literals`` are the values of small constants, by weight name."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        leaves: Mapping[str, Construct],
        classes: Child,
        called: frozenset[str],
        literals: Mapping[str, Expr],
    ) -> None:
        self.hierarchy = hierarchy
        self.graph = hierarchy.graph
        self.leaves = leaves
        self.classes = classes
        self.called = called
        self.literals = literals

    def lines(self, path: str) -> tuple[Line, ...]:
        """The constructor of the class at a path."""
        own = (*self._weights(path), *self._children(path), *self._aliases(path), *self._ties(path))
        base = self.hierarchy.bases.get(path)
        first = (
            [] if base is None else [Line("", replace(base.construct, callee="super().__init__"))]
        )
        return (*first, *own, *self._frozen(path))

    def chain(self, path: str) -> tuple[Line, ...]:
        """The constructor of a class that is an ``nn.Sequential`` itself."""
        built = (self.build(p) or IDENTITY for _, p in self.hierarchy.children(path))
        first = Line("", Construct("super().__init__", tuple(map(Arg, built))))
        return (first, *self._aliases(path), *self._ties(path), *self._frozen(path))

    def needed(self, path: str) -> bool:
        """Whether a module holds weights or is called; others leave no trace in the source."""
        placed = self.hierarchy.placed or {}
        holds = any(m.weights for m in self.hierarchy.below(path))
        homes = (*self.hierarchy.constants, *(n.rpartition(".")[0] for n in placed.values()))
        constants = any(is_under(home, path) for home in homes)
        return holds or constants or any(is_under(c, path) for c in self.called)

    def build(self, path: str) -> Construct | None:
        """The expression that constructs a module."""
        if path not in self.graph.module or not self.needed(path):
            return None
        children = [(name, self.build(p)) for name, p in self.hierarchy.children(path)]
        match self.hierarchy.kind(path):
            case Kind.LEAF:
                return self.leaves[path]
            case Kind.CLASS:
                return self.classes(path)
            case Kind.SEQUENTIAL if (made := self.classes(path)) is not None:
                return made
            case Kind.SEQUENTIAL:
                return Construct("nn.Sequential", tuple(Arg(c or IDENTITY) for _, c in children))
            case Kind.LIST:
                args = tuple(Arg(c or IDENTITY) for _, c in children)
                return Construct("nn.ModuleList", args, "list")
            case Kind.DICT:
                kept = [(n, c) for n, c in children if c is not None]
                keys = tuple(n for n, _ in kept)
                return Construct("nn.ModuleDict", tuple(Arg(c) for _, c in kept), "dict", keys)
            case Kind.PARAMETERS:
                return self._parameters(path)

    def _children(self, path: str) -> Iterator[Line]:
        for name, child in self.hierarchy.children(path):
            yield from self._assign("self", name, child)

    def _assign(self, holder: str, name: str, path: str) -> Iterator[Line]:
        stands = path in self.graph.module and self.needed(path)
        names = self.graph.module[path].children if stands else ()
        if stands and self.hierarchy.kind(path) is Kind.SEQUENTIAL and not numbered(names):
            named = self._ordered(path)
            yield self._set(holder, name, named or Construct("nn.Sequential"))
            if named is not None:
                return
            for inner, child in self.hierarchy.children(path):
                yield from self._assign(attribute(holder, name), inner, child)
            return
        built = self.build(path)
        if built is not None:
            yield self._set(holder, name, built)

    def _ordered(self, path: str) -> Construct | None:
        """A Sequential made from an ``OrderedDict``; None where lines of their own read better."""
        found = [(name, self.build(child)) for name, child in self.hierarchy.children(path)]
        kept = tuple(Arg(built, name) for name, built in found if built is not None)
        if len(kept) < 3 or not all(is_plain(str(a.name)) for a in kept):
            return None
        return Construct("nn.Sequential", (Arg(Construct("OrderedDict", kept)),))

    def _set(self, holder: str, name: str, value: Construct) -> Line:
        if is_plain(name):
            return Line(f"{holder}.{name} = ", value)
        return Line(
            "", Construct(f"{holder}.add_module", (Arg(Text(Expr(quote(name)))), Arg(value)))
        )

    def _weights(self, path: str) -> Iterator[Line]:
        base = self.hierarchy.bases.get(path)
        for local in self.graph.module[path].weights:
            if base is not None and local in base.weights:
                continue
            full = join(path, local)
            weight = self._owned().get(full)
            if weight is not None and weight.name == full:
                yield self._declare(local, weight, path)
        for name in self.hierarchy.constants.get(path, ()):
            yield self._declare(name.rpartition(".")[2], self.graph.weight[name], path)
        for name, place in (self.hierarchy.placed or {}).items():
            owner, _, local = place.rpartition(".")
            if owner == path:
                yield self._declare(local, self.graph.weight[name], path)

    def _owned(self) -> dict[str, Weight]:
        return {name: w for w in self.graph.weights for name in (w.name, *w.ties)}

    def _declare(self, name: str, weight: Weight, path: str) -> Line:
        if weight.kind == "parameter":
            value = _parameter(weight, self._still(path) is True)
            if is_plain(name):
                return Line(f"self.{name} = ", value)
            key = Arg(Text(Expr(quote(name))))
            return Line("", Construct("self.register_parameter", (key, Arg(value))))
        known = self.literals.get(weight.name)
        value_of = Arg(_empty(weight)) if known is None else Arg(Text(known))
        kept = Arg(weight.persistent, "persistent", True)
        args = (Arg(Text(Expr(quote(name)))), value_of, kept)
        return Line("", Construct("self.register_buffer", args))

    def _parameters(self, path: str) -> Construct:
        names = self.graph.module[path].weights
        still = self._still(path) is True
        built = tuple(Arg(_parameter(self._owned()[join(path, n)], still)) for n in names)
        if numbered(names):
            return Construct("nn.ParameterList", built, "list")
        return Construct("nn.ParameterDict", built, "dict", names)

    def _aliases(self, path: str) -> Iterator[Line]:
        """Modules that occur under several paths; those below one come with it."""
        known = self.hierarchy.aliases
        for alias, first in known.items():
            above, _, name = alias.rpartition(".")
            if above in known and join(known[above], name) == first:
                continue
            shared = self._common(alias, first)
            if shared == path and self.needed(first):
                source = self.hierarchy.access(path, first)
                holder = self.hierarchy.access(path, above)
                kind = self.hierarchy.kind(above)
                if kind in (Kind.SEQUENTIAL, Kind.LIST, Kind.DICT) and not is_plain(name):
                    key = name if name.isdecimal() else quote(name)
                    yield statement(f"{holder}[{key}] = {source}")
                elif is_plain(name):
                    yield statement(f"{holder}.{name} = {source}")
                else:
                    yield statement(f"{holder}.add_module({quote(name)}, {source})")

    def _ties(self, path: str) -> Iterator[Line]:
        """Weights that occur under several names."""
        for weight in self.graph.weights:
            for tie in weight.ties:
                owner, _, local = tie.rpartition(".")
                if owner not in self.graph.module or self._common(owner, weight.name) != path:
                    continue
                holder = self.hierarchy.access(path, owner)
                source = self.hierarchy.weight(path, weight.name)
                if self.hierarchy.kind(owner) is Kind.CLASS and weight.kind == "buffer":
                    yield statement(f"{holder}.register_buffer({quote(local)}, {source})")
                elif is_plain(local):
                    yield statement(f"{holder}.{local} = {source}")
                else:
                    yield statement(f"{holder}.register_parameter({quote(local)}, {source})")

    def _common(self, a: str, b: str) -> str:
        """The deepest class that holds both."""
        shared: list[str] = []
        for x, y in zip(a.split("."), b.split("."), strict=False):
            if x != y:
                break
            shared.append(x)
        return self._class_above(".".join(shared))

    def _class_above(self, path: str) -> str:
        while path not in self.graph.module or self.hierarchy.kind(path) is not Kind.CLASS:
            path = path.rpartition(".")[0]
        return path

    def _frozen(self, path: str) -> Iterator[Line]:
        """Parameters that do not train: a whole module at once where all of its own stand still."""
        if path == "" and self._still("") is True:
            yield statement("self.requires_grad_(False)")
        for module in self.hierarchy.below(path):
            above = self._class_above(module.path.rpartition(".")[0])
            if module.path in ("", path) or above != path:
                continue
            state = self._still(module.path)
            if state is True and self._still(module.path.rpartition(".")[0]) is not True:
                yield statement(f"{self.hierarchy.access(path, module.path)}.requires_grad_(False)")
            elif state is None and self.hierarchy.kind(module.path) is Kind.LEAF:
                for local in module.weights:
                    weight = self._owned()[join(module.path, local)]
                    if weight.kind == "parameter" and not weight.requires_grad:
                        reached = self.hierarchy.weight(path, weight.name)
                        yield statement(f"{reached}.requires_grad_(False)")

    def _still(self, path: str) -> bool | None:
        """True where every parameter below is frozen, False where none is, None for some."""
        states = {
            w.requires_grad
            for w in self.graph.weights
            if w.kind == "parameter" and is_under(w.name.rpartition(".")[0], path)
        }
        if len(states) > 1:
            return None
        return states == {False}


IDENTITY = Construct("nn.Identity")


SIZES: Mapping[int, tuple[str, ...]] = {
    1: ("features",),
    2: ("out_features", "in_features"),
    4: ("out_channels", "in_channels", "kernel_size", "kernel_size"),
}
"""What the sizes of a weight of so many dimensions are called."""


def _empty(weight: Weight) -> Construct:
    type_ = weight.type
    trained = weight.name.endswith("weight") or (weight.kind == "parameter" and type_.rank == 1)
    nouns = SIZES.get(type_.rank) if trained else None
    nouns = nouns or ("size",) * type_.rank
    sizes = tuple(Arg(n, noun=noun) for n, noun in zip(type_.shape, nouns, strict=True))
    return Construct("torch.empty", (*(sizes or (Arg((), noun="size"),)), dtype(type_.dtype)))


def _parameter(weight: Weight, frozen: bool) -> Construct:
    """``nn.Parameter``; one of a module that is frozen whole need not say so, if it can train."""
    trainable = "float" in weight.type.dtype or "complex" in weight.type.dtype
    trains = Arg(weight.requires_grad or (frozen and trainable), "requires_grad", True)
    return Construct("nn.Parameter", (Arg(_empty(weight)), trains))
