"""Schedule: the one order in which the steps of a forward are written.

Every value that has a name keeps its place among the others. All else stands right before its
reader, in the order of the reader's operands. So a value can move into the expression that reads
it, and a trace of the written source comes to the same order again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prunec.emit import effort, rows, schema
from prunec.emit.hierarchy import Kind
from prunec.emit.recurrent import GATES, Recurrence
from prunec.emit.simplify import RANDOM
from prunec.emit.steps import Append, Model, Step, output_of
from prunec.emit.tree import Region
from prunec.ir.graph import Node, Ref, Tree


@dataclass(frozen=True)
class Task:
    """What counts of a step: the values that it reads and makes, and the rows that it stands in.

    Steps of one row (say, all that draw random numbers) never change places.
    """

    reads: tuple[str, ...]
    results: tuple[str, ...]
    rows: frozenset[str] = frozenset()


def run(model: Model, region: Region) -> Region:
    """The region with all that is inside in order, inner regions first."""
    if model.hierarchy.kind(region.path) is Kind.LEAF:
        return region
    items = [run(model, i) if isinstance(i, Region) else i for i in region.items]
    moved = replace(region, items=tuple(items))
    output = output_of(model.boundaries(moved)) if region.path else model.program.output
    found, _ = _plan(model, moved, output)
    return replace(region, items=tuple(items[i] for i in found[:-1]))


def inlined(model: Model, region: Region, output: Tree) -> frozenset[str]:
    """The values of a region that have no name, but for the length of a line."""
    return _plan(model, region, output)[1]


def _plan(model: Model, region: Region, output: Tree) -> tuple[list[int], frozenset[str]]:
    row = rows.plain(model, region, output)
    return order([_task(s) for s in row], effort.inlined(model, row, output))


def order(tasks: Sequence[Task], inlined: frozenset[str]) -> tuple[list[int], frozenset[str]]:
    """The numbers of the tasks in their final order, and the values that stay inlined.

    The last task returns. ``inlined`` are values that one task alone reads: a task that makes one
    stands right before its reader, unless that would make tasks of a row change places.
    """
    sinks = {t.results[0]: i for i, t in enumerate(tasks) if not inlined.isdisjoint(t.results)}
    found = _sunk(tasks, sinks)
    if found is not None:
        return found, inlined
    sinks = {value: i for value, i in sinks.items() if not tasks[i].rows}
    found = _sunk(tasks, sinks)
    assert found is not None
    return found, frozenset(sinks)


def _sunk(tasks: Sequence[Task], sinks: Mapping[str, int]) -> list[int] | None:
    """Whole expressions, each where its first task stands, or once all that it needs is there.

    None where that does not go without tasks of a row changing places.
    """
    root_of = _roots(tasks, sinks)
    expressions = {root: _expression(tasks, sinks, root) for root in dict.fromkeys(root_of)}
    needs = {root: _needs(tasks, inner) for root, inner in expressions.items()}
    if not all(_keeps_rows(tasks, inner) for inner in expressions.values()):
        return None
    there: set[str | int] = {r for t in tasks for r in t.reads}
    there.difference_update(value for t in tasks for value in t.results)
    waiting = list(root_of)
    found: list[int] = []
    while waiting:
        left = []
        for root in waiting:
            if root in expressions and needs[root] <= there:
                found += (inner := expressions.pop(root))
                there.update(inner)
                there.update(value for i in inner for value in tasks[i].results)
            elif root in expressions:
                left.append(root)
        if len(left) == len(waiting):
            return None
        waiting = left
    return found


def _needs(tasks: Sequence[Task], expression: Sequence[int]) -> set[str | int]:
    """Values that an expression reads, and tasks of its rows that come first."""
    inside = set(expression)
    made = {value for i in expression for value in tasks[i].results}
    found: set[str | int] = {r for i in expression for r in tasks[i].reads} - made  # type: ignore[assignment]
    last = {row: i for i in sorted(expression) for row in tasks[i].rows}
    found.update(
        i
        for row, end in last.items()
        for i in range(end)
        if row in tasks[i].rows and i not in inside
    )
    return found


def _roots(tasks: Sequence[Task], sinks: Mapping[str, int]) -> list[int]:
    """For every task the one in whose expression it stands."""
    found = list(range(len(tasks)))
    for i in reversed(range(len(tasks))):
        for r in tasks[i].reads:
            if r in sinks:
                found[sinks[r]] = found[i]
    return found


def _expression(tasks: Sequence[Task], sinks: Mapping[str, int], root: int) -> list[int]:
    """A task after all that sinks into it, operand by operand."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        task = waiting.pop()
        found.append(task)
        waiting += [sinks[r] for r in tasks[task].reads if r in sinks]
    return found[::-1]


def _keeps_rows(tasks: Sequence[Task], found: Sequence[int]) -> bool:
    known = {row for i in found for row in tasks[i].rows}
    places = ([i for i in found if row in tasks[i].rows] for row in known)
    return all(p == sorted(p) for p in places)


def _task(step: Step) -> Task:
    reads = tuple(r.name for r in step.reads if isinstance(r, Ref))
    return Task(reads, step.results, frozenset(rows_of_step(step)))


def rows_of_step(step: Step) -> Iterator[str]:
    """The rows that a step stands in."""
    match step.act:
        case Node():
            yield from _rows_of(step.act)
        case Region():
            for node in step.act.nodes():
                yield from _rows_of(node)
        case Recurrence() | Append():
            for node in step.act.region.nodes():
                yield from _rows_of(node)


def _rows_of(node: Node) -> Iterator[str]:
    """The rows that an operator stands in: random numbers, or running statistics by name."""
    base = schema.base(node.op)
    bound = schema.bind(node) if base in ("scaled_dot_product_attention", "batch_norm") else {}
    recurrent = base.removesuffix("_tanh").removesuffix("_relu").upper() in GATES
    if base in RANDOM or base.startswith("rand") or recurrent or bound.get("dropout_p", 0) != 0:
        yield "random"
    statistics = bound.get("running_mean")
    if statistics is not None:
        yield str(statistics)
