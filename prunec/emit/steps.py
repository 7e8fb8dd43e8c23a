"""Steps: a forward as a row of operators, calls of modules, and loops over lists of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from prunec.emit import recurrent
from prunec.emit.expr import Expr
from prunec.emit.hierarchy import Hierarchy, Kind
from prunec.emit.recurrent import Recurrence
from prunec.emit.roles import Roles
from prunec.emit.simplify import Program
from prunec.emit.tree import Argument, Boundaries, Boundary, Region
from prunec.ir.graph import Node, Ref, Sequence_, Tree, WeightRef


@dataclass(frozen=True)
class Model:
    """What every forward needs to know of the whole model."""

    program: Program
    hierarchy: Hierarchy
    boundaries: Boundaries
    literals: Mapping[str, Expr]

    def is_empty(self, path: str) -> bool:
        """Whether a module does nothing and holds nothing: in a list it is an ``nn.Identity``."""
        known = path in self.program.graph.module
        return known and path not in self._used

    @cached_property
    def roles(self) -> Roles:
        """What each value is for."""
        return Roles(self.program)

    @cached_property
    def _used(self) -> frozenset[str]:
        """The paths at or above whatever is called, holds weights, or holds constants."""
        graph = self.program.graph
        found = {call.path for node in self.program.nodes for call in node.scope}
        placed = self.hierarchy.placed or {}
        homes = [m.path for m in graph.modules if m.weights]
        homes += [*self.hierarchy.constants, *(n.rpartition(".")[0] for n in placed.values())]
        for home in homes:
            parts = home.split(".")
            found.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
        return frozenset(found)


CHILDREN = ".children()"
"""What a module's name goes on with where all of its children are meant."""


@dataclass(frozen=True)
class Run:
    """Members of a list in a row: the list, and ``[1:]`` or the like where they are not all.

    The ``container`` can also be a module with numbered children; ``bounds`` are `CHILDREN` then.
    """

    container: str
    bounds: str


@dataclass(frozen=True, eq=False)
class Loop:
    """Calls of members of a list in turn, each given what the one before returned.

    ``carried`` are the numbers of these arguments, one for each result; the others are the same in
    every call. ``collected`` are the results of all calls, where they are also wanted as a list.
    """

    members: Run
    arguments: tuple[Argument, ...]
    carried: tuple[int, ...]
    collected: tuple[Ref, ...]


@dataclass(frozen=True, eq=False)
class Each:
    """A list of what every member makes of the same arguments.

    Where there is a ``source``, the argument number ``varying`` is one of its parts in turn.
    """

    members: Run
    arguments: tuple[Argument, ...]
    made: tuple[Ref, ...]
    source: Step | None
    varying: int | None


@dataclass(frozen=True)
class Append:
    """A call that is given a list of values, and whose result joins the list.

    With ``members`` these are calls of all of them in turn, the first of which is ``region``.
    """

    region: Region
    before: tuple[Ref, ...]
    first: bool
    members: Run | None = None


Act: TypeAlias = "Node | Region | Recurrence | Loop | Each | Append | None"
"""What a step does; None returns."""


@dataclass(frozen=True, eq=False)
class Step:
    """One statement at most: what it does, makes and reads, and the effort to read it."""

    act: Act
    results: tuple[str, ...]
    reads: tuple[Ref | WeightRef, ...]
    effort: float


@dataclass(frozen=True, eq=False)
class Term:
    """A step with the steps written inside of its expression, by the value that they make."""

    step: Step
    inner: Mapping[str, Term] = field(default_factory=dict)

    @property
    def effort(self) -> float:
        return self.step.effort + sum(t.effort for t in self.inner.values())

    def reads(self) -> Iterator[Ref]:
        """Values read by name, in the order of evaluation."""
        for r in self.step.reads:
            if isinstance(r, WeightRef):
                continue
            if r.name in self.inner:
                yield from self.inner[r.name].reads()
            else:
                yield r


def output_of(boundary: Boundary) -> Tree:
    """What an inner module returns: its one value, or a tuple."""
    refs = tuple(Ref(o) for o in boundary.outputs)
    return refs[0] if len(refs) == 1 else Sequence_("tuple", refs)


def recurrence(model: Model, region: Region) -> Recurrence | None:
    """The call of a recurrent module; None where a region is none, or becomes a class."""
    leaf = model.hierarchy.kind(region.path) is Kind.LEAF
    return recurrent.of(region) if leaf else None
