"""What can be removed from a model, what cannot, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod

import numpy as np

from prunec.diagnostics import Diagnostic
from prunec.ir.axis import Axis, atoms, mask
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Frozen, Group


@dataclass(frozen=True, slots=True)
class FrozenAxis:
    """One dimension of a weight with channels that cannot be removed, and the reason."""

    weight: str
    dim: int
    channels: int
    because: Frozen


@dataclass(frozen=True, slots=True)
class Operator:
    """A node whose operator has no signature, or none for this use of it.

    ``parameters`` are those that no group reaches because of it: elements of parameters that
    would be in a group but for the axes that it alone freezes.
    """

    node: str
    op: str
    line: str | None
    reason: str
    parameters: int


@dataclass(frozen=True)
class Analysis:
    """The groups of a model, its frozen weight axes, and the residual blocks and layers that can go
    whole.

    ``print(analysis)`` shows all of them. ``unknown`` are the operators that freeze all that they
    touch, the costliest first; ``probed`` those whose axes were inferred by experiment.
    """

    graph: Graph
    groups: tuple[Group, ...]
    frozen: tuple[FrozenAxis, ...]
    unknown: tuple[Operator, ...] = ()
    probed: tuple[Operator, ...] = ()
    blocks: tuple[Group, ...] = ()
    layers: tuple[Group, ...] = ()

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """Each reason for a frozen axis with how many weight dimensions it freezes, the commonest
        first.
        """
        found = Counter(f.because.reason for f in self.frozen)
        return tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """A warning for each operator that costs reach, a note for those that were probed."""
        costly = [o for o in self.unknown if o.parameters]
        return (
            *(_unknown(found) for found in _by_operator(costly)),
            *(_probed(found) for found in _by_operator(self.probed)),
        )

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
            "unknown_operators": [asdict(o) for o in self.unknown],
            "probed_operators": [asdict(o) for o in self.probed],
            "blocks": [block_dict(g) for g in self.blocks],
            "layers": [layer_dict(g) for g in self.layers],
        }

    def __str__(self) -> str:
        from prunec.report import tables

        return tables.text(*tables.analysis(self))


def run(
    graph: Graph,
    axes: Axes,
    groups: tuple[Group, ...],
    blocks: tuple[Group, ...] = (),
    layers: tuple[Group, ...] = (),
) -> Analysis:
    """The analysis of a graph whose axes are solved."""
    unknown = [
        Operator(u.node, u.op, u.line, u.reason, _unreached(graph, axes, u.node))
        for u in axes.unknown
    ]
    probed = [
        Operator(n.name, n.op, n.line, "inferred by probing", _unreached(graph, axes, n.name))
        for n in map(graph.node.__getitem__, axes.probed)
    ]
    unknown.sort(key=lambda o: -o.parameters)
    frozen = tuple(_frozen(axes))
    return Analysis(graph, groups, frozen, tuple(unknown), tuple(probed), blocks, layers)


def _unreached(graph: Graph, axes: Axes, node: str) -> int:
    """Elements of parameters that would be in a group but for what the node freezes."""
    total = 0
    for weight, dims in axes.weights.items():
        if graph.weight[weight].kind == "parameter":
            total += prod(_held(axis, axes, "") for axis in dims)
            total -= prod(_held(axis, axes, node) for axis in dims)
    return total


def _held(axis: Axis, axes: Axes, without: str) -> int:
    """Indices of an axis all of whose atoms are frozen, by another node than ``without``."""

    def kept(atom: int) -> bool:
        why = axes.frozen.get(atom)
        return why is not None and (why.node != without or not why.alone)

    free = {a.id: np.zeros(a.size, dtype=bool) for a in atoms(axis) if not kept(a.id)}
    return int(mask(axis, free).sum())


def _by_operator(found: Iterable[Operator]) -> list[list[Operator]]:
    groups: dict[str, list[Operator]] = {}
    for each in found:
        groups.setdefault(each.op, []).append(each)
    return list(groups.values())


def _unknown(found: Sequence[Operator]) -> Diagnostic:
    first, number = found[0], sum(o.parameters for o in found)
    return Diagnostic(
        "P0520",
        f"`{first.op}` is not understood: it keeps {number} parameters out of reach",
        notes=_where(found),
        help="`prunec explain` lists what it freezes; everything else is pruned as usual",
        severity="warning",
    )


def _probed(found: Sequence[Operator]) -> Diagnostic:
    number = sum(o.parameters for o in found)
    cost = f"; it keeps {number} parameters out of reach" if number else ""
    return Diagnostic(
        "P0521",
        f"the axes of `{found[0].op}` were inferred by probing{cost}",
        notes=_where(found),
        severity="note",
    )


def _where(found: Sequence[Operator]) -> tuple[str, ...]:
    """The reason, and the first places where the operator stands."""
    lines = list(dict.fromkeys(o.line or f"%{o.node}" for o in found))
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return (found[0].reason, f"at {', '.join(lines[:3])}{more}")


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


def block_dict(group: Group) -> dict[str, object]:
    """A residual block as plain JSON values: the sum, and what goes with its branch."""
    (branch,) = group.branches
    return {
        "name": group.name,
        "module": group.producers[0],
        "sum": branch.node,
        "nodes": list(branch.exclusive),
        "weights": list(branch.weights),
    }


def layer_dict(group: Group) -> dict[str, object]:
    """A layer as plain JSON values: its sums, and what goes with its branches."""
    return {
        "name": group.name,
        "module": group.producers[0],
        "sums": [b.node for b in group.branches],
        "nodes": [name for b in group.branches for name in b.exclusive],
        "weights": [name for b in group.branches for name in b.weights],
    }


def _frozen(axes: Axes) -> Iterator[FrozenAxis]:
    """Every frozen atom of every weight dimension; an atom of one channel is nothing to remove."""
    for weight, dims in axes.weights.items():
        for dim, axis in enumerate(dims):
            for atom in dict.fromkeys(atoms(axis)):
                if atom.id in axes.frozen and atom.size > 1:
                    yield FrozenAxis(weight, dim, atom.size, axes.frozen[atom.id])
