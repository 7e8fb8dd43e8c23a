"""Groups: the free atoms that lie in weights, each with all of its places and a name that a person
recognises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from prunec.ir.axis import Atom, atoms, mask
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Group, Kind, Place
from prunec.passes import kinds


def run(graph: Graph, axes: Axes) -> tuple[Group, ...]:
    """Every group of the graph, in the order in which their first weights stand in the model."""
    found: dict[int, list[Place]] = {}
    free: dict[int, Atom] = {}
    inside: dict[int, tuple[int, ...]] = {}
    for weight, dims in axes.weights.items():
        for dim, axis in enumerate(dims):
            # Many weights share one axis object (a batch norm's four): look inside it once.
            if id(axis) not in inside:
                alive = {a.id: a for a in atoms(axis) if a.id not in axes.frozen}
                free |= alive
                inside[id(axis)] = tuple(alive)
            place = Place(weight, dim, axis, axes.roles.get((weight, dim), "scale"))
            for atom in inside[id(axis)]:
                found.setdefault(atom, []).append(place)
    order = _order(graph)
    spreads = {n.name for n in graph.nodes if n.op.rpartition(".")[0] in _SPREADS}
    kind = kinds.run(graph, axes)
    groups = (
        _group(free[atom], kind.get(atom, "channels"), places, axes, order)
        for atom, places in found.items()
    )
    return _distinct(tuple(replace(g, least=_least(g, axes, spreads)) for g in groups))


_SPREADS = frozenset({"aten.std", "aten.var", "aten.std_mean", "aten.var_mean"})


def module_of(weight: str) -> str:
    """Path of the module that owns a weight (``""`` for the root)."""
    return weight.rpartition(".")[0]


def _order(graph: Graph) -> dict[str, int]:
    """Weight -> position of the first node that reads it."""
    order: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for ref in node.weight_refs():
            order.setdefault(ref.name, position)
    return order


def _group(
    atom: Atom, kind: Kind, places: list[Place], axes: Axes, order: Mapping[str, int]
) -> Group:
    places = sorted(places, key=lambda p: order.get(p.weight, -1))
    producers = _modules(p for p in places if p.role == "produce")
    return Group(
        name=_name(producers or _modules(places), kind),
        atom=atom,
        kind=kind,
        places=tuple(places),
        producers=producers,
        consumers=_modules(p for p in places if p.role == "consume"),
        mixing=axes.mixing.get(atom.id, ()),
    )


def _least(group: Group, axes: Axes, spreads: set[str]) -> int:
    spread = 2 if spreads & {*group.mixing} else 1
    return min(group.size, max(spread, axes.least.get(group.atom.id, 1)))


def _modules(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(module_of(p.weight) for p in places))


def _name(modules: tuple[str, ...], kind: Kind) -> str:
    """One module's path; siblings in braces; otherwise the part of the model that most of them lie
    in. What is no plain width is called by its kind too.
    """
    if kind not in _WIDTHS:
        return f"{_where(modules) or _home(modules)} {kind}"
    return _where(modules) or f"{_home(modules)} residual"


_WIDTHS: frozenset[Kind] = frozenset({"channels", "hidden"})


def _where(modules: tuple[str, ...]) -> str | None:
    if len(modules) == 1:
        return modules[0] or "model"
    parents = {m.rpartition(".")[0] for m in modules}
    if len(parents) == 1 and len(modules) <= 4:
        names = ",".join(m.rpartition(".")[2] for m in modules)
        parent = parents.pop()
        return f"{parent}.{{{names}}}" if parent else f"{{{names}}}"
    return None


def _home(modules: tuple[str, ...]) -> str:
    """The longest path that holds three quarters of the modules: a lone stem does not count.

    Failing that the shortest that holds more than half of them, or where the last one lies.
    """
    paths = [m.split(".") for m in modules]
    held = Counter(".".join(path[:n]) for path in paths for n in range(1, len(path)))
    nearly_all = [path for path, count in held.items() if 4 * count >= 3 * len(modules)]
    if nearly_all:
        return max(nearly_all, key=len)
    most = [path for path, count in held.items() if 2 * count > len(modules)]
    return min(most, key=len) if most else paths[-1][0]


def _distinct(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Tell groups of one name apart by where they lie in their first place, then by a number."""
    counts = Counter(g.name for g in groups)
    return numbered(
        replace(g, name=f"{g.name}{_range(g)}") if counts[g.name] > 1 else g for g in groups
    )


def numbered(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Groups with names of their own: the second of a name has `` #2`` behind it."""
    seen: Counter[str] = Counter()
    result = []
    for group in groups:
        seen[group.name] += 1
        number = seen[group.name]
        result.append(group if number == 1 else replace(group, name=f"{group.name} #{number}"))
    return tuple(result)


def _range(group: Group) -> str:
    """The indices that the group spans in its first place: ``[16:32]``."""
    without = {group.atom.id: np.zeros(group.size, dtype=bool)}
    indices = np.flatnonzero(~mask(group.places[0].axis, without))
    return f"[{indices[0]}:{indices[-1] + 1}]"
