"""Folds: calls of all members of a list in turn as one thing to do, however many members there are.

``for block in self.blocks: x = block(x)`` is the same statement in a stage with two blocks and in a
stage with six; so lists that differ in length can belong to one class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from prunec.emit import growth
from prunec.emit.hierarchy import Kind
from prunec.emit.steps import Model, recurrence
from prunec.emit.tree import Argument, Region, flat
from prunec.ir.graph import Node, Ref, TensorType, WeightRef


@dataclass(frozen=True, eq=False)
class Fold:
    """Calls of all members of ``container``; argument ``carried`` goes from one to the next.

    It is one value, or the list of all values so far; ``made`` is what the last call leaves.
    """

    container: str
    arguments: tuple[Argument, ...]
    carried: int
    made: Argument


Part: TypeAlias = "tuple[int, Node | Region | Fold]"
"""A part of a forward with the number of its (first) item."""


def run(model: Model, region: Region) -> Iterator[Part]:
    """The items of a region, whole lists of modules folded."""
    counts = _counts(model, region)
    grown = growth.find(model, region)
    number = 0
    while number < len(region.items):
        item = region.items[number]
        if grown is not None and number == grown.start:
            yield number, Fold(region.path, (grown.before,), 0, grown.after)
            number += grown.length
            continue
        found = _fold(model, region, number, counts) if isinstance(item, Region) else None
        if found is None:
            yield number, item
            number += 1
        else:
            fold, length = found
            yield number, fold
            number += length


def _fold(
    model: Model, region: Region, start: int, counts: Counter[str]
) -> tuple[Fold, int] | None:
    """The fold that begins with an item, and how many items it is."""
    first = region.items[start]
    assert isinstance(first, Region)
    container = first.path.rpartition(".")[0]
    if container not in model.program.graph.module or not container:
        return None
    if model.hierarchy.kind(container) is not Kind.LIST:
        return None
    members = [p for _, p in model.hierarchy.children(container)]
    row = [i for i in region.items[start : start + len(members)] if isinstance(i, Region)]
    if [r.path for r in row] != members or any(recurrence(model, r) for r in row):
        return None
    carried = _carried(model, row, counts)
    if carried is None:
        return None
    given, last = model.boundaries(row[0]).arguments, model.boundaries(row[-1]).outputs[0]
    return Fold(container, given, carried, Ref(last)), len(row)


def _carried(model: Model, row: list[Region], counts: Counter[str]) -> int | None:
    """The one argument that each call takes from the one before; None where calls differ."""
    bounds = [model.boundaries(r) for r in row]
    if any(len(b.outputs) != 1 for b in bounds) or not bounds[0].arguments:
        return None
    if any(counts[b.outputs[0]] != 1 for b in bounds[:-1]):
        return None
    for number, entry in enumerate(bounds[0].arguments):
        made = [entry, *(Ref(b.outputs[0]) for b in bounds)]
        hands_on = all(
            b.arguments == (*bounds[0].arguments[:number], m, *bounds[0].arguments[number + 1 :])
            for b, m in zip(bounds, made, strict=False)
        )
        if hands_on and isinstance(entry, Ref) and _alike(model, entry.name, made[-1]):
            return number
    return None


def _alike(model: Model, given: str, made: Argument) -> bool:
    """Whether what comes out could go in again."""
    assert isinstance(made, Ref)
    a, b = model.program.types[given], model.program.types[made.name]
    both = isinstance(a, TensorType) and isinstance(b, TensorType)
    return both and (a.dtype, a.rank) == (b.dtype, b.rank)  # type: ignore[union-attr]


def _counts(model: Model, region: Region) -> Counter[str]:
    """How often each value is read in a region, or by its caller."""
    found: Counter[str] = Counter(model.boundaries(region).outputs)
    for item in region.items:
        reads: tuple[Ref | WeightRef, ...]
        if isinstance(item, Region):
            reads = flat(model.boundaries(item).arguments)
        else:
            reads = model.program.reads(item)
        found.update(r.name for r in reads)
    return found
