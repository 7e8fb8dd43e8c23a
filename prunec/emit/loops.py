"""Loops: calls of the members of a list in turn, and lists of what all members make of something.

``for layer in self.layers: x = layer(x)`` stands for calls that hand values on from one to the
next, ``[conv(x) for conv in self.convs]`` for calls whose results only ever occur as one list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prunec.emit import schema
from prunec.emit.hierarchy import Kind, is_under, numbered
from prunec.emit.steps import CHILDREN, Each, Loop, Model, Run, Step
from prunec.emit.tree import Argument, Region, flat
from prunec.ir.graph import Node, Ref, Sequence_, Tree, all_leaves

FEW = 4
"""So many numbered children read better as a loop."""

LISTS = frozenset({"cat", "stack"})
SPLITS = frozenset({"split", "split_with_sizes", "chunk", "unbind"})


@dataclass(frozen=True, eq=False)
class _Reads:
    """How often values are read, and how often lists of values."""

    values: Mapping[str, int]
    lists: Mapping[tuple[Ref, ...], int]


def run(model: Model, steps: Sequence[Step], output: Tree) -> Iterator[Step]:
    """Replace calls of the members of a list in a row by one step."""
    refs = [r.name for s in steps for r in s.reads]
    refs += [r.name for r in all_leaves(output)]
    found = [a for s in steps for a in _lists(model, s)]
    reads = _Reads(Counter(refs), Counter([*found, *_returned(output)]))
    done: list[Step] = []
    i = 0
    while i < len(steps):
        made = _each(model, steps, i, reads) or _loop(model, steps[i:], reads)
        if made is None:
            done.append(steps[i])
            i += 1
            continue
        step, length = made
        if isinstance(step.act, Each) and step.act.source is not None:
            done.remove(step.act.source)
        done.append(step)
        i += length
    return iter(done)


def _loop(model: Model, steps: Sequence[Step], reads: _Reads) -> tuple[Step, int] | None:
    """Calls that hand on all that they make; the results may also be collected in a list."""
    best: tuple[Step, int] | None = None
    place = Place.of(model, steps[0])
    row = [] if place is None else list(place.calls(model, steps))
    while place is not None and len(row) > 1 and best is None:
        span = place.span(model, row)
        carried = _carried(model, row)
        if span is not None and carried is not None:
            collected = _collected(row, reads)
            passing = [r for s in row[:-1] for r in s.results]
            if collected or all(reads.values[r] == 1 for r in passing):
                given = model.boundaries(_region(row[0])).arguments
                loop = Loop(span, given, carried, collected)
                best = Step(loop, row[-1].results, flat(given), 4), len(row)
        row.pop()
    return best


def _each(
    model: Model, steps: Sequence[Step], start: int, reads: _Reads
) -> tuple[Step, int] | None:
    """Calls of all members whose results occur as one list alone."""
    place = Place.of(model, steps[start])
    row = [] if place is None else list(place.calls(model, steps[start:]))
    if place is None or len(row) < 2 or any(len(s.results) != 1 for s in row):
        return None
    made = tuple(Ref(s.results[0]) for s in row)
    span = place.span(model, row)
    times = reads.lists.get(made, 0)
    if span is None or span.bounds or not times or any(reads.values[m.name] != times for m in made):
        return None
    given = [model.boundaries(_region(s)).arguments for s in row]
    varying = [n for n in range(len(given[0])) if len({g[n] for g in given}) > 1]
    if len(set(map(len, given))) > 1 or len(varying) > 1:
        return None
    if not varying:
        act = Each(span, given[0], made, None, None)
        return Step(act, tuple(m.name for m in made), flat(given[0]), 4), len(row)
    parts = tuple(g[varying[0]] for g in given)
    source = next((s for s in steps[:start] if _splits(s, parts)), None)
    if source is None or any(reads.values[p.name] != 1 for p in parts if isinstance(p, Ref)):
        return None
    act = Each(span, given[0], made, source, varying[0])
    rest = flat(a for n, a in enumerate(given[0]) if n != varying[0])
    return Step(act, tuple(m.name for m in made), (*source.reads, *rest), 4), len(row)


def _splits(step: Step, parts: Sequence[Argument]) -> bool:
    act = step.act
    splits = isinstance(act, Node) and schema.base(act.op) in SPLITS
    return splits and tuple(map(Ref, step.results)) == parts


@dataclass(frozen=True)
class Place:
    """A member of a list: the list, its members, and which ones are no mere ``nn.Identity``.

    Where it is not ``listed``, its members are the numbered children of a class.
    """

    container: str
    members: tuple[str, ...]
    solid: tuple[int, ...]
    first: int
    listed: bool

    @staticmethod
    def of(model: Model, step: Step) -> Place | None:
        if not isinstance(step.act, Region) or not step.act.path:
            return None
        path = step.act.path
        container = path.rpartition(".")[0]
        if container not in model.program.graph.module:
            return None
        names = model.program.graph.module[container].children
        kind = model.hierarchy.kind(container)
        listed = kind in (Kind.LIST, Kind.SEQUENTIAL) and numbered(names)
        if not listed and not (kind is Kind.CLASS and is_series(model, container)):
            return None
        members = tuple(p for _, p in model.hierarchy.children(container))
        if not listed:
            members = tuple(p for p in members if not model.is_empty(p))
        solid = tuple(n for n, p in enumerate(members) if not model.is_empty(p))
        if path not in members or members.index(path) not in solid:
            return None
        return Place(container, members, solid, members.index(path), listed)

    def calls(self, model: Model, steps: Sequence[Step]) -> Iterator[Step]:
        """The steps that call this member and those after it, one by one."""
        wanted = (self.members[n] for n in self.solid if n >= self.first)
        for step, path in zip(steps, wanted, strict=False):
            if not isinstance(step.act, Region) or step.act.path != path:
                return
            yield step

    def span(self, model: Model, row: Sequence[Step]) -> Run | None:
        """The members that a row calls; None where it is too short to be worth a loop."""
        begin = self.solid.index(self.first)
        end = begin + len(row)
        start = 0 if begin == 0 else self.solid[begin]
        stop = len(self.members) if end == len(self.solid) else self.solid[end - 1] + 1
        whole = (start, stop) == (0, len(self.members))
        if not self.listed:
            return Run(self.container, CHILDREN) if whole and len(row) >= FEW else None
        arguments = model.boundaries(_region(row[0])).arguments
        if stop - start > len(row) and len(arguments) > 1:
            return None  # an `nn.Identity`, which stands for what is gone, takes one argument
        if whole:
            return Run(self.container, "")
        last = "" if stop == len(self.members) else f"{stop - len(self.members)}"
        last = last if last in ("", "-1") else f"{stop}"
        return Run(self.container, f"[{start or ''}:{last}]") if len(row) > 2 else None


def is_series(model: Model, path: str) -> bool:
    """Whether a class has no children but ``conv1``, ``conv2`` and so on, each of its own."""
    hierarchy = model.hierarchy
    if path in hierarchy.bases or any(is_under(alias, path) for alias in hierarchy.aliases):
        return False
    kept = [name for name, p in hierarchy.children(path) if not model.is_empty(p)]
    found = [re.fullmatch(r"(.*?)(\d+)", name) for name in kept]
    numbers = [int(m[2]) for m in found if m is not None]
    stems = {None if m is None else m[1] for m in found}
    return len(stems) == 1 and None not in stems and numbers == sorted(set(numbers))


def _carried(model: Model, row: Sequence[Step]) -> tuple[int, ...] | None:
    """The arguments that each call takes from the call before, one for each of its results.

    None where calls differ otherwise.
    """
    given = [model.boundaries(_region(s)).arguments for s in row]
    made = [tuple(map(Ref, s.results)) for s in row]
    if len(set(map(len, given))) > 1 or len(set(map(len, made))) > 1 or len(made[0]) == 0:
        return None
    if any(r not in given[1] for r in made[0]):
        return None
    places = tuple(given[1].index(r) for r in made[0])
    rest = [n for n in range(len(given[0])) if n not in places]
    entries = [given[0][n] for n in places]
    others = [given[0][n] for n in rest]
    moved = all(tuple(g[n] for n in places) == m for g, m in zip(given[1:], made, strict=False))
    same = all([g[n] for n in rest] == others for g in given)
    plain = all(isinstance(e, Ref) for e in entries) and len(set(entries)) == len(entries)
    apart = not {*entries} & {*flat(others), *others}
    return places if moved and same and plain and apart else None


def _collected(row: Sequence[Step], reads: _Reads) -> tuple[Ref, ...]:
    """The results of all calls, where they also occur as one list; nothing where they do not."""
    if any(len(s.results) != 1 for s in row):
        return ()
    made = tuple(Ref(s.results[0]) for s in row)
    times = reads.lists.get(made, 0)
    inner = all(reads.values[m.name] == times + 1 for m in made[:-1])
    return made if times and inner else ()


def _lists(model: Model, step: Step) -> Iterator[tuple[Ref, ...]]:
    """The lists that a step reads and that can be a variable."""
    if isinstance(step.act, Region):
        yield from (a for a in model.boundaries(step.act).arguments if isinstance(a, tuple))
    elif isinstance(step.act, Node) and schema.base(step.act.op) in LISTS:
        items = step.act.args[0]
        assert isinstance(items, tuple)
        yield tuple(i for i in items if isinstance(i, Ref))


def _returned(tree: Tree) -> Iterator[tuple[Ref, ...]]:
    if isinstance(tree, Sequence_):
        refs = tuple(i for i in tree.items if isinstance(i, Ref))
        if len(refs) == len(tree.items):
            yield refs
        for item in tree.items:
            yield from _returned(item)


def _region(step: Step) -> Region:
    assert isinstance(step.act, Region)
    return step.act
