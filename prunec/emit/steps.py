"""Steps: a forward as a row of operators, calls of modules, and loops over lists of modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from prunec.emit import calls, recurrent
from prunec.emit.expr import Expr
from prunec.emit.hierarchy import Hierarchy, Kind
from prunec.emit.recurrent import Recurrence
from prunec.emit.simplify import Program
from prunec.emit.tree import Argument, Boundaries, Boundary, Maybe, Region, flat
from prunec.ir.graph import Node, Ref, Sequence_, Tree, WeightRef, all_leaves


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


@dataclass(frozen=True, eq=False)
class Loop:
    """Calls of all modules of a list in turn, each given what the one before returned.

    ``carried`` is the number of that argument; the others are the same in every call.
    """

    container: str
    arguments: tuple[Argument, ...]
    carried: int


@dataclass(frozen=True)
class Append:
    """A call that is given a list of values, and whose result joins the list."""

    region: Region
    before: tuple[Ref, ...]
    first: bool


Act: TypeAlias = "Node | Region | Recurrence | Loop | Append | None"
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


def run(model: Model, region: Region, output: Tree) -> tuple[Step, ...]:
    """The steps of a forward, the return statement last."""
    effort = 0 if isinstance(output, Ref) else 0.5
    last = Step(None, (), tuple(all_leaves(output)), effort)
    row = [*_loops(model, [_step(model, i) for i in region.items], last), last]
    return tuple(_growing(model, row))


def output_of(boundary: Boundary) -> Tree:
    """What an inner module returns: its one value, or a tuple."""
    refs = tuple(Ref(o) for o in boundary.outputs)
    return refs[0] if len(refs) == 1 else Sequence_("tuple", refs)


def recurrence(model: Model, region: Region) -> Recurrence | None:
    """The call of a recurrent module; None where a region is none, or becomes a class."""
    leaf = model.hierarchy.kind(region.path) is Kind.LEAF
    return recurrent.of(region) if leaf else None


def _step(model: Model, item: Node | Region) -> Step:
    if isinstance(item, Region):
        boundary = model.boundaries(item)
        call = recurrence(model, item)
        if call is not None:
            return Step(call, boundary.outputs, call.reads, 2)
        heavy = model.hierarchy.kind(item.path) is not Kind.LEAF
        return Step(item, boundary.outputs, flat(boundary.arguments), 2 if heavy else 1)
    if isinstance(item, Maybe):
        reads = (*model.program.reads(item), item.otherwise)
        return Step(item, model.program.results(item), reads, calls.effort(item) + 1)
    return Step(item, model.program.results(item), model.program.reads(item), calls.effort(item))


def _loops(model: Model, steps: Sequence[Step], last: Step) -> Iterator[Step]:
    """Replace calls of all modules of a list in a row by a loop."""
    counts = Counter(r.name for s in (*steps, last) for r in s.reads)
    i = 0
    while i < len(steps):
        found = _loop(model, steps[i:], counts)
        if found is None:
            yield steps[i]
            i += 1
        else:
            loop, length = found
            results = steps[i + length - 1].results
            yield Step(loop, results, flat(loop.arguments), 4)
            i += length


def _loop(
    model: Model, steps: Sequence[Step], counts: Mapping[str, int]
) -> tuple[Loop, int] | None:
    first = steps[0].act
    if not isinstance(first, Region):
        return None
    container = first.path.rpartition(".")[0]
    if model.hierarchy.kind(container) is not Kind.LIST:
        return None
    members = [path for _, path in model.hierarchy.children(container)]
    paths = [path for path in members if not model.is_empty(path)]
    row = steps[: len(paths)]
    acts = [s.act for s in row]
    called = [a.path for a in acts if isinstance(a, Region)]
    if len(paths) < 2 or called != paths or any(len(s.results) != 1 for s in row):
        return None
    given = [model.boundaries(a).arguments for a in acts if isinstance(a, Region)]
    carried = _carried(given, [Ref(s.results[0]) for s in row])
    passing = [counts[s.results[0]] for s in row[:-1]]
    if carried is None or passing != [1] * len(passing):
        return None
    if len(paths) < len(members) and len(given[0]) > 1:
        return None  # an `nn.Identity`, which stands for what is gone, takes one argument
    return Loop(container, given[0], carried), len(row)


def _carried(given: Sequence[tuple[Argument, ...]], made: Sequence[Ref]) -> int | None:
    """The argument that each call takes from the call before; None where calls differ otherwise."""
    for number in range(len(given[0])):
        moved = all(g[number : number + 1] == (m,) for g, m in zip(given[1:], made, strict=False))
        others = {(*g[:number], *g[number + 1 :]) for g in given}
        if moved and len(others) == 1 and given[0][number] not in next(iter(others)):
            return number
    return None


def _growing(model: Model, row: Sequence[Step]) -> list[Step]:
    """Let a list grow where each call is given all results so far, as in a dense block."""
    lists = [_lists(model, s) for s in row]
    found = list(row)
    used: set[int] = set()
    for start in range(len(row)):
        chain = [] if start in used else _chain(row, lists, start)
        if len(chain) > 1 and _only_in_list(row, lists, chain):
            used.update(chain)
            for i in chain:
                act = Append(_region(row[i]), lists[i][0], first=i == start)
                found[i] = Step(act, row[i].results, row[i].reads, 4)
    return found


def _lists(model: Model, step: Step) -> tuple[tuple[Ref, ...], ...]:
    """The lists of values that a step reads."""
    if isinstance(step.act, Region):
        return tuple(a for a in model.boundaries(step.act).arguments if isinstance(a, tuple))
    if isinstance(step.act, Node):
        return tuple(
            tuple(i for i in a if isinstance(i, Ref))
            for a in step.act.args
            if isinstance(a, tuple) and a and all(isinstance(i, Ref) for i in a)
        )
    return ()


def _chain(
    row: Sequence[Step], lists: Sequence[tuple[tuple[Ref, ...], ...]], start: int
) -> list[int]:
    """Steps from ``start`` on that each read the list before and the result before."""
    chain: list[int] = []
    wanted: tuple[Ref, ...] | None = None
    for i in range(start, len(row)):
        step = row[i]
        if not isinstance(step.act, Region) or len(lists[i]) != 1 or len(step.results) != 1:
            if i == start:
                return []
            continue
        if wanted is None or lists[i][0] == wanted:
            chain.append(i)
            wanted = (*lists[i][0], Ref(step.results[0]))
    return chain


def _only_in_list(
    row: Sequence[Step], lists: Sequence[tuple[tuple[Ref, ...], ...]], chain: Sequence[int]
) -> bool:
    """Whether results are read in the list alone: by later calls, and once it is complete."""
    final = (*lists[chain[-1]][0], Ref(row[chain[-1]].results[0]))
    results = {Ref(row[i].results[0]) for i in chain}
    for i, step in enumerate(row):
        reads = sum(r in results for r in step.reads)
        listed = sum(
            r in results for found in lists[i] for r in found if i in chain or found == final
        )
        if reads != listed or (reads and i not in chain and i < chain[-1]):
            return False
    return True


def _region(step: Step) -> Region:
    assert isinstance(step.act, Region)
    return step.act
