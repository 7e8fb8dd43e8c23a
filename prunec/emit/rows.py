"""Rows: the steps of one forward, with loops over lists of modules and lists that grow."""

from __future__ import annotations

from collections.abc import Sequence

from prunec.emit import calls, loops
from prunec.emit.steps import Append, Model, Run, Step, recurrence
from prunec.emit.tree import Maybe, Region, flat
from prunec.ir.graph import Node, Ref, Tree, all_leaves


def run(model: Model, region: Region, output: Tree) -> tuple[Step, ...]:
    """The steps of a forward with its loops, the return statement last."""
    *row, last = plain(model, region, output)
    return tuple(_growing(model, [*loops.run(model, row, output), last]))


def plain(model: Model, region: Region, output: Tree) -> list[Step]:
    """One step for each operator and call, the return statement last."""
    effort = 0 if isinstance(output, Ref) else 0.5
    last = Step(None, (), tuple(all_leaves(output)), effort)
    return [*(_step(model, i) for i in region.items), last]


def _step(model: Model, item: Node | Region) -> Step:
    if isinstance(item, Region):
        boundary = model.boundaries(item)
        call = recurrence(model, item)
        if call is not None:
            return Step(call, boundary.outputs, call.reads, 2)
        return Step(item, boundary.outputs, flat(boundary.arguments), 1)
    if isinstance(item, Maybe):
        reads = (*model.program.reads(item), item.otherwise)
        return Step(item, model.program.results(item), reads, calls.effort(item) + 1)
    return Step(item, model.program.results(item), model.program.reads(item), calls.effort(item))


def _growing(model: Model, row: Sequence[Step]) -> list[Step]:
    """Let a list grow where each call is given all results so far, as in a dense block."""
    lists = [_lists(model, s) for s in row]
    found = list(row)
    used: set[int] = set()
    gone: set[int] = set()
    for start in range(len(row)):
        chain = [] if start in used else _chain(row, lists, start)
        if len(chain) > 1 and _only_in_list(row, lists, chain):
            used.update(chain)
            whole = _members(model, row, chain)
            if whole is not None:
                gone.update(chain[1:])
                act = Append(_region(row[start]), lists[start][0], first=True, members=whole)
                made = tuple(row[i].results[0] for i in chain)
                found[start] = Step(act, made, row[start].reads, 4)
                continue
            for i in chain:
                act = Append(_region(row[i]), lists[i][0], first=i == start)
                found[i] = Step(act, row[i].results, row[i].reads, 4)
    return [step for i, step in enumerate(found) if i not in gone]


def _members(model: Model, row: Sequence[Step], chain: Sequence[int]) -> Run | None:
    """What a loop calls all the steps of, where they differ in nothing but the member."""
    place = loops.Place.of(model, row[chain[0]])
    if place is None or list(chain) != list(range(chain[0], chain[-1] + 1)):
        return None
    steps = [row[i] for i in chain]
    single = all(len(model.boundaries(_region(s)).arguments) == 1 for s in steps)
    called = tuple(place.calls(model, steps))
    return place.span(model, called) if single and len(called) == len(steps) else None


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
