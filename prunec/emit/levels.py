"""Levels: the modules that become classes, by class, those that others are made of first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import networkx

from prunec.emit import names
from prunec.emit.classes import Class
from prunec.emit.construct import Construct
from prunec.emit.hierarchy import CONTAINERS, Hierarchy, Kind
from prunec.emit.lines import Constructor

Unit: TypeAlias = tuple[str, int]
"""A class name; where modules of a class hold each other, also how deep they are."""


def run(hierarchy: Hierarchy, constructor: Constructor) -> Iterator[list[str]]:
    """Paths of modules that may share a class, in the order in which classes are written."""
    paths = [m.path for m in hierarchy.graph.modules if _is_class(hierarchy, constructor, m.path)]
    inside = list(_nested(paths))
    nested = _mutual((base(hierarchy, a), base(hierarchy, b)) for a, b in inside)
    heights = _heights(paths, inside)

    def unit(path: str) -> Unit:
        name = base(hierarchy, path)
        return name, heights[path] if name in nested else 0

    units: dict[Unit, list[str]] = {}
    for path in paths:
        units.setdefault(unit(path), []).append(path)
    graph: networkx.DiGraph[Unit] = networkx.DiGraph()
    graph.add_nodes_from(units)
    graph.add_edges_from((unit(b), unit(a)) for a, b in inside)
    for generation in networkx.topological_generations(graph):
        yield from (units[u] for u in units if u in set(generation))


def order(hierarchy: Hierarchy, made: Sequence[Class]) -> list[Class]:
    """Classes by how many of them they are deep; then as their modules come in the model."""
    places = {m.path: n for n, m in enumerate(hierarchy.graph.modules)}
    depths: dict[str, int] = {}
    for cls in made:
        depths[cls.name] = 1 + max((depths.get(c, 0) for c in _callees(cls)), default=0)
    return sorted(made, key=lambda c: (depths[c.name], min(places[p] for p in c.constructs)))


def _callees(cls: Class) -> Iterator[str]:
    """What a class constructs, and what its instances are given."""
    waiting: list[object] = [line.value for line in cls.lines]
    waiting += cls.constructs.values()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Construct):
            if value.callee != cls.name:
                yield value.callee
            waiting += (a.value for a in value.args)


def base(hierarchy: Hierarchy, path: str) -> str:
    """What the class of a module is called: as the original's, or after the attribute."""
    cls = hierarchy.graph.module[path].cls
    last = path.rpartition(".")[2]
    if cls.startswith(CONTAINERS) and not last.isdecimal():
        return names.camel(last)
    return names.class_name(cls)


def _is_class(hierarchy: Hierarchy, constructor: Constructor, path: str) -> bool:
    own = hierarchy.kind(path) is Kind.CLASS or path in hierarchy.chained
    return path != "" and own and constructor.needed(path)


def _nested(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Modules with the nearest ones that hold them: (outer, inner)."""
    known = set(paths)
    for path in paths:
        above = path.rpartition(".")[0]
        while above and above not in known:
            above = above.rpartition(".")[0]
        if above:
            yield above, path


def _mutual(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Names of classes that hold themselves, directly or through others."""
    graph: networkx.DiGraph[str] = networkx.DiGraph(pairs)
    found = set(networkx.nodes_with_selfloops(graph))
    for part in networkx.strongly_connected_components(graph):
        found |= part if len(part) > 1 else set()
    return frozenset(found)


def _heights(paths: Iterable[str], inside: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """How many classes deep each module is."""
    heights = dict.fromkeys(paths, 0)
    for outer, inner in sorted(inside, key=lambda pair: -pair[1].count(".")):
        heights[outer] = max(heights[outer], heights[inner] + 1)
    return heights
