"""Two plans side by side, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from prunec import lock
from prunec.difference import Difference, Spent, Value
from prunec.ir import units
from prunec.report import tables


def show(found: Difference) -> Iterator[RenderableType]:
    """What differs; one line where nothing does."""
    a, b = found.names
    if found.equal:
        yield Text(f"{a} and {b} hold the same plan")
    if found.versions:
        yield Text(f"made with {'; '.join(map(_changed, found.versions))}")
    if found.inputs:
        yield Text(f"made from other inputs: {', '.join(lock.CHANGED[i] for i in found.inputs)}")
    if found.solver:
        yield Text(f"solver: {'; '.join(map(_changed, found.solver))}")
    if found.figures:
        table = tables.plain("figure", a="right", b="right")
        for value in found.figures:
            table.add_row(value.name, _figure(value.a), _figure(value.b))
        yield table
    if found.costs:
        yield _costs(found)
    if found.groups:
        yield _groups(found)


def _changed(value: Value) -> str:
    return f"{value.name} {value.a} -> {value.b}"


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none"


def _costs(found: Difference) -> Table:
    names = ("a", "bound of a", "b", "bound of b")
    table = tables.plain("cost", **dict.fromkeys(names, "right"))
    for cost in found.costs:
        name = f"{cost.metric} in {cost.scope}" if cost.scope else cost.metric
        table.add_row(Text(name), *_spent(cost, cost.a), *_spent(cost, cost.b))
    return table


def _spent(where: Spent, cost: lock.Cost | None) -> tuple[str, str]:
    if cost is None:
        return "", ""
    bound = "" if cost.bound is None else f"<= {units.show(int(cost.bound), cost.metric)}"
    return units.show(int(cost.slim), cost.metric), bound


def _groups(found: Difference) -> Table:
    names = ("a", "b", "of", "change", "only a", "only b")
    table = tables.plain("group", **dict.fromkeys(names, "right"))
    for group in found.groups:
        change = "" if group.a is None or group.b is None else f"{group.b - group.a:+}"
        table.add_row(
            Text(group.name),
            *("all" if n is None else str(n) for n in (group.a, group.b)),
            "" if group.size is None else str(group.size),
            change,
            *("" if n is None else str(n) for n in (group.only_a, group.only_b)),
        )
    return table
