"""Sequences: calls of all members of an ``nn.Sequential`` in turn are one call of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from prunec.emit.hierarchy import Kind, is_under
from prunec.emit.steps import Model, recurrence
from prunec.emit.tree import Item, Region
from prunec.ir.graph import Call, Ref


def run(model: Model, root: Region, unwanted: Collection[str]) -> Region:
    """Give every row of calls that passes once through a whole ``nn.Sequential`` a call of its own.

    Only where nothing calls that module by itself, and where its path is not ``unwanted``.
    """
    while True:
        called = {region.path for region in root.walk()}
        found = _region(model, root, {*called, *unwanted})
        if found is root:
            return root
        root = found


def is_chain(model: Model, region: Region) -> bool:
    """Whether a call hands one value through its children in turn, as ``nn.Sequential`` does."""
    boundary = model.boundaries(region)
    if len(boundary.arguments) != 1 or len(boundary.outputs) != 1:
        return False
    module = model.program.graph.module[region.path]
    value = boundary.arguments[0]
    called = []
    for item in region.items:
        if not isinstance(item, Region):
            return False
        inner = model.boundaries(item)
        if inner.arguments != (value,) or len(inner.outputs) != 1:
            return False
        call = recurrence(model, item)
        if call is not None and call.unpacks:
            return False
        value = Ref(inner.outputs[0])
        called.append(item.path)
    aliases = model.hierarchy.aliases
    order = [aliases.get(p, p) for _, p in model.hierarchy.children(region.path)]
    silent = [p for p in order if p not in called]
    return (
        value == Ref(boundary.outputs[0])
        and [p for p in order if p in called] == called
        and bool(module.children)
        and not any(_holds_weights(model, p) for p in silent)
    )


def _holds_weights(model: Model, path: str) -> bool:
    return path not in model.program.graph.module or any(
        m.weights for m in model.hierarchy.below(path)
    )


def _region(model: Model, region: Region, taken: Collection[str]) -> Region:
    items: list[Item] = []
    rest: Sequence[Item] = region.items
    while rest:
        row = _row(model, region, rest, taken)
        if row is not None:
            items.append(row)
            rest = rest[len(row.items) :]
        else:
            first, *rest = rest
            items.append(_region(model, first, taken) if isinstance(first, Region) else first)
    same = [id(i) for i in items] == [id(i) for i in region.items]
    return region if same else replace(region, items=tuple(items))


def _row(
    model: Model, region: Region, items: Sequence[Item], taken: Collection[str]
) -> Region | None:
    """The call of the ``nn.Sequential`` whose members the first items call."""
    if not isinstance(items[0], Region):
        return None
    container = items[0].path.rpartition(".")[0]
    module = model.program.graph.module.get(container)
    held = is_under(container, region.path) and container != region.path
    if module is None or container in taken or not held:
        return None
    if model.hierarchy.kind(container) is not Kind.SEQUENTIAL:
        return None
    members = [p for _, p in model.hierarchy.children(container) if not model.is_empty(p)]
    row = takewhile(lambda i: isinstance(i, Region) and i.path in members, items[: len(members)])
    found = Region(Call(container, module.cls), tuple(row))
    whole = len(found.items) == len(members) > 1
    return found if whole and is_chain(model, found) else None
