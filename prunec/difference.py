"""What two plans differ in: two plan files, or the locks of two artefacts, which hold plans too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from prunec import lock, planfile
from prunec.diagnostics import Diagnostic, PruneError
from prunec.lock import Lock
from prunec.planfile import PlanFile

Where: TypeAlias = tuple[str, str | None]
"""A metric and the part of the model that it is of; None for the whole model."""


@dataclass(frozen=True)
class Side:
    """One plan, as far as its file says. ``sizes`` are the channels of groups, where known."""

    name: str
    versions: Mapping[str, str]
    inputs: Mapping[str, str | None]
    solver: Mapping[str, Any]
    figures: Mapping[str, float | None]
    costs: Mapping[Where, lock.Cost]
    keep: Mapping[str, frozenset[int]]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Value:
    """Something that both plans have one of, and not the same."""

    name: str
    a: object
    b: object


@dataclass(frozen=True, slots=True)
class Spent:
    """A cost with its bound, on both sides; None where a side has no such cost."""

    metric: str
    scope: str | None
    a: lock.Cost | None
    b: lock.Cost | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group that does not keep the same channels. Widths are None for all of an unknown number;
    ``only_a`` and ``only_b`` count the channels that one side alone keeps.
    """

    name: str
    size: int | None
    a: int | None
    b: int | None
    only_a: int | None
    only_b: int | None


@dataclass(frozen=True)
class Difference:
    """What differs between two plans; groups are sorted by how much their width changes."""

    names: tuple[str, str]
    versions: tuple[Value, ...]
    inputs: tuple[str, ...]
    solver: tuple[Value, ...]
    figures: tuple[Value, ...]
    costs: tuple[Spent, ...]
    groups: tuple[Group, ...]

    @property
    def equal(self) -> bool:
        """Whether they are the same plan of the same inputs, whatever made them."""
        return not (self.inputs or self.solver or self.figures or self.costs or self.groups)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values, keys stable between versions."""
        return {
            "equal": self.equal,
            "a": self.names[0],
            "b": self.names[1],
            "versions": {v.name: [v.a, v.b] for v in self.versions},
            "inputs": list(self.inputs),
            "solver": {v.name: [v.a, v.b] for v in self.solver},
            "figures": {v.name: [v.a, v.b] for v in self.figures},
            "costs": [
                {
                    "metric": c.metric,
                    "scope": c.scope,
                    "a": c.a and c.a.model_dump(include={"dense", "slim", "bound"}),
                    "b": c.b and c.b.model_dump(include={"dense", "slim", "bound"}),
                }
                for c in self.costs
            ],
            "groups": [
                {
                    "name": g.name,
                    "size": g.size,
                    "a": g.a,
                    "b": g.b,
                    "only_a": g.only_a,
                    "only_b": g.only_b,
                }
                for g in self.groups
            ],
        }


def run(a: Path, b: Path) -> Difference:
    """Compare two files.

    Raises:
        PruneError: P0641, P0642, P0711 for a file that holds no plan.
    """
    return compare(side(a), side(b))


def side(path: Path) -> Side:
    """The plan of a plan file, or of an artefact's lock."""
    data = planfile.content(path)
    if planfile.parse(data, str(path)).get("lock_version") is None:
        return _of_plan(planfile.read(data, str(path)), str(path))
    lock.read(data)
    try:
        return _of_lock(Lock.model_validate_json(data), str(path))
    except ValidationError as error:
        first = error.errors()[0]
        message = f"`{path}` cannot be used: `{'.'.join(map(str, first['loc']))}`: {first['msg']}"
        hint = "compile again to write a new one"
        raise PruneError(Diagnostic("P0711", message, help=hint)) from error


def compare(a: Side, b: Side) -> Difference:
    """What differs. Of what only one file can say, nothing is said."""
    places = list(dict.fromkeys((*a.costs, *b.costs)))
    names = sorted({*a.keep, *b.keep})
    groups = [_group(name, a, b) for name in names if a.keep.get(name) != b.keep.get(name)]
    return Difference(
        names=(a.name, b.name),
        versions=_values(a.versions, b.versions),
        inputs=tuple(v.name for v in _values(a.inputs, b.inputs)),
        solver=_values(a.solver, b.solver),
        figures=_values(a.figures, b.figures),
        costs=tuple(
            Spent(*place, a.costs.get(place), b.costs.get(place))
            for place in places
            if a.costs.get(place) != b.costs.get(place)
        ),
        groups=tuple(sorted((g for g in groups if _differs(g)), key=_rank)),
    )


def _of_plan(held: PlanFile, name: str) -> Side:
    return Side(
        name=name,
        versions=held.versions.model_dump(),
        inputs=held.inputs.model_dump(),
        solver={"name": held.solver.name, **held.solver.options},
        figures={
            "objective": held.objective,
            "bound": held.bound,
            "gap": held.gap,
            "calibration loss": held.damage,
        },
        costs=_costs(held.costs),
        keep=_sets(held.keep),
        sizes={group: width.size for group, width in held.widths.items()},
    )


def _of_lock(held: Lock, name: str) -> Side:
    return Side(
        name=name,
        versions=held.versions.model_dump(),
        inputs=held.inputs.model_dump(),
        solver=held.spec.get("solve") or {"name": held.plan.solver},
        figures={},
        costs=_costs(held.costs),
        keep=_sets(held.plan.keep),
        sizes={},
    )


def _costs(costs: Sequence[lock.Cost]) -> dict[Where, lock.Cost]:
    return {(c.metric, c.scope): c for c in costs}


def _sets(keep: Mapping[str, Sequence[int]]) -> dict[str, frozenset[int]]:
    return {name: frozenset(kept) for name, kept in keep.items()}


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Value, ...]:
    """What both have, and not the same."""
    return tuple(Value(k, a[k], b[k]) for k in a if k in b and a[k] != b[k])


def _group(name: str, a: Side, b: Side) -> Group:
    """A group without an entry keeps all of its channels, however many these are."""
    size = a.sizes.get(name, b.sizes.get(name))
    every = None if size is None else frozenset(range(size))
    left, right = a.keep.get(name, every), b.keep.get(name, every)
    return Group(
        name,
        size,
        None if left is None else len(left),
        None if right is None else len(right),
        None if left is None or right is None else len(left - right),
        None if left is None or right is None else len(right - left),
    )


def _differs(group: Group) -> bool:
    return group.only_a != 0 or group.only_b != 0


def _rank(group: Group) -> tuple[float, int, str]:
    """The widest change first; a width that is not known counts as the widest."""
    change = float("inf") if group.a is None or group.b is None else abs(group.b - group.a)
    return -change, -(group.only_a or 0) - (group.only_b or 0), group.name
