"""What can be removed from a model, what cannot, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prunec.ir.axis import atoms
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Frozen, Group


@dataclass(frozen=True, slots=True)
class FrozenAxis:
    """One dimension of a weight with channels that cannot be removed, and the reason."""

    weight: str
    dim: int
    channels: int
    because: Frozen


@dataclass(frozen=True)
class Analysis:
    """The groups of a model and its frozen weight axes. ``print(analysis)`` shows both."""

    graph: Graph
    groups: tuple[Group, ...]
    frozen: tuple[FrozenAxis, ...]

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """Each reason for a frozen axis with how many weight dimensions it freezes, the commonest
        first.
        """
        found = Counter(f.because.reason for f in self.frozen)
        return tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def as_dict(self) -> dict[str, object]:
        """The analysis as plain JSON values, keys stable between versions."""
        return {
            "model": self.graph.name,
            "frontend": self.graph.frontend,
            "groups": [group_dict(g) for g in self.groups],
            "frozen": [
                {
                    "weight": f.weight,
                    "dim": f.dim,
                    "channels": f.channels,
                    "reason": f.because.reason,
                    "node": f.because.node,
                    "line": f.because.line,
                }
                for f in self.frozen
            ],
        }

    def __str__(self) -> str:
        from prunec.report import tables

        return tables.text(tables.groups(self), tables.frozen(self))


def run(graph: Graph, axes: Axes, groups: tuple[Group, ...]) -> Analysis:
    """The analysis of a graph whose axes are solved."""
    return Analysis(graph, groups, tuple(_frozen(axes)))


def group_dict(group: Group) -> dict[str, object]:
    """A group as plain JSON values."""
    return {
        "name": group.name,
        "kind": group.kind,
        "size": group.size,
        "exact": group.exact,
        "mixing": list(group.mixing),
        "producers": list(group.producers),
        "consumers": list(group.consumers),
        "places": [
            {"weight": p.weight, "dim": p.dim, "axis": str(p.axis), "role": p.role}
            for p in group.places
        ],
    }


def _frozen(axes: Axes) -> Iterator[FrozenAxis]:
    """Every frozen atom of every weight dimension; an atom of one channel is nothing to remove."""
    for weight, dims in axes.weights.items():
        for dim, axis in enumerate(dims):
            for atom in dict.fromkeys(atoms(axis)):
                if atom.id in axes.frozen and atom.size > 1:
                    yield FrozenAxis(weight, dim, atom.size, axes.frozen[atom.id])
