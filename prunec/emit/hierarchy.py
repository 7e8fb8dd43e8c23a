"""Hierarchy: what each module becomes, and how one module reaches what another holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property

from prunec.emit import modules
from prunec.emit.construct import Construct
from prunec.emit.expr import quote
from prunec.emit.names import attribute
from prunec.ir.graph import Argument, Graph, Module

CONTAINERS = "torch.nn.modules.container."


class Kind(Enum):
    """What a module becomes in the source."""

    LEAF = auto()
    """A torch.nn class that is one operator."""
    SEQUENTIAL = auto()
    """``nn.Sequential``: numbered children, or named ones that are set as attributes."""
    LIST = auto()
    """``nn.ModuleList``."""
    DICT = auto()
    """``nn.ModuleDict``."""
    PARAMETERS = auto()
    """``nn.ParameterList`` or ``nn.ParameterDict``."""
    CLASS = auto()
    """A class of its own."""


@dataclass(frozen=True)
class Base:
    """The torch.nn class that a user's class extends, as it is constructed.

    ``weights`` are those that it makes; ``calls`` says what each operator that stands for
    ``super().forward(x)`` is given.
    """

    construct: Construct
    weights: frozenset[str]
    calls: Mapping[str, Argument]


@dataclass(frozen=True)
class Hierarchy:
    """The modules of a graph. ``chained`` are user classes whose forward is ``nn.Sequential``'s.

    ``placed`` gives constants, which have no module, a full name at the module that reads them.
    ``bases`` are the torch.nn classes that user classes extend.
    """

    graph: Graph
    chained: frozenset[str] = frozenset()
    leaves: frozenset[str] = frozenset()
    placed: Mapping[str, str] | None = None
    bases: Mapping[str, Base] = field(default_factory=dict)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Further paths of modules, to the first; known by the ties of their weights."""
        found: dict[str, str] = {}
        for weight in self.graph.weights:
            for tie in weight.ties:
                owner, _, local = weight.name.rpartition(".")
                path, _, other = tie.rpartition(".")
                while path not in self.graph.module and other == local and path not in found:
                    found[path] = owner
                    step, _, name = path.rpartition(".")
                    above, _, same = owner.rpartition(".")
                    if name != same:
                        break
                    path, owner = step, above
        return found

    @cached_property
    def constants(self) -> dict[str, tuple[str, ...]]:
        """Constants by the module that they are named after, but for those placed elsewhere."""
        found: dict[str, tuple[str, ...]] = {}
        for weight in self.graph.weights:
            if weight.kind == "constant" and weight.name not in (self.placed or {}):
                home = weight.name.rpartition(".")[0]
                found[home] = (*found.get(home, ()), weight.name)
        return found

    def kind(self, path: str) -> Kind:
        """What the module at a path becomes."""
        module = self.graph.module[self.aliases.get(path, path)]
        if path in self.leaves:
            return Kind.LEAF
        if module.cls in (f"{CONTAINERS}ParameterList", f"{CONTAINERS}ParameterDict"):
            return Kind.PARAMETERS
        if module.weights or path == "" or path in self.constants:
            return Kind.CLASS
        if module.cls == f"{CONTAINERS}Sequential" and self._can_stand(module):
            return Kind.SEQUENTIAL
        if path in self.chained:
            return Kind.SEQUENTIAL
        if module.cls == f"{CONTAINERS}ModuleList":
            return Kind.LIST
        if module.cls == f"{CONTAINERS}ModuleDict":
            return Kind.DICT
        return Kind.CLASS

    def children(self, path: str) -> Iterator[tuple[str, str]]:
        """Names and paths of direct children; an alias has the path that it stands at."""
        for name in self.graph.module[path].children:
            yield name, join(path, name)

    def below(self, path: str) -> Iterator[Module]:
        """Every module under a path, and the module itself."""
        return (m for m in self.graph.modules if is_under(m.path, path))

    def access(self, path: str, target: str, base: str = "self") -> str | None:
        """How the class at ``path`` names the module at ``target``; None if it does not hold it."""
        for place in self._places(target):
            if is_under(place, path):
                return self._walk(path, place, base)
        return None

    def weight(self, path: str, name: str, base: str = "self") -> str | None:
        """How the class at ``path`` names a weight; None where it does not hold it."""
        for full in self.names(name):
            owner, _, local = full.rpartition(".")
            if is_under(owner, path):
                holder = self._walk(path, owner, base)
                if owner in self.graph.module and self.kind(owner) is Kind.PARAMETERS:
                    return f"{holder}{_item(local)}"
                return attribute(holder, local)
        return None

    def names(self, weight: str) -> tuple[str, ...]:
        """Every full name of a weight."""
        placed = (self.placed or {}).get(weight, weight)
        return (placed, *self.graph.weight[weight].ties)

    def _places(self, target: str) -> Iterator[str]:
        yield target
        for alias, canonical in self.aliases.items():
            if is_under(target, canonical):
                yield join(alias, target.removeprefix(canonical).lstrip("."))

    def _walk(self, path: str, target: str, base: str) -> str:
        place, text = path, base
        for name in relative(path, target):
            kind = self.kind(place)
            if kind in (Kind.SEQUENTIAL, Kind.LIST) and name.isdecimal():
                text += f"[{name}]"
            elif kind is Kind.DICT:
                text += f"[{quote(name)}]"
            else:
                text = attribute(text, name)
            place = join(place, name)
            place = self.aliases.get(place, place)
        return text

    def _can_stand(self, module: Module) -> bool:
        """Named children need a line each, so their Sequential must be an attribute of a class."""
        if numbered(module.children):
            return True
        above = module.path.rpartition(".")[0]
        return self.kind(above) is Kind.CLASS


def join(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path and name else path or name


def is_under(path: str, above: str) -> bool:
    """Whether a module path is ``above`` or below it."""
    return above in ("", path) or path.startswith(f"{above}.")


def relative(path: str, target: str) -> tuple[str, ...]:
    """The child names that lead from one path to another below it."""
    rest = target if not path else target.removeprefix(path).lstrip(".")
    return tuple(rest.split(".")) if rest else ()


def numbered(names: Iterable[str]) -> bool:
    """Whether names are "0", "1", ... in order."""
    return all(name == str(i) for i, name in enumerate(names))


def is_leaf(module: Module) -> bool:
    """Whether a module's class is one of torch's that `modules.LEAVES` knows."""
    return modules.find(module.cls) is not None


def _item(name: str) -> str:
    return f"[{name}]" if name.isdecimal() else f"[{quote(name)}]"
