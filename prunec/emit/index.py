"""Indexing: slice, select and unsqueeze in a row as one subscript (``x[:, 0, None]``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from prunec.emit import schema
from prunec.emit.expr import ATOM, Expr
from prunec.emit.schema import LAST
from prunec.ir.graph import Argument, Node

OPS = frozenset({"slice", "select", "unsqueeze"})


@dataclass(frozen=True, slots=True)
class Span:
    """``start:stop:step``; the default is the whole dimension."""

    start: Argument = None
    stop: Argument = None
    step: Argument = None


@dataclass(frozen=True, slots=True)
class At:
    """One index, which removes the dimension."""

    index: Argument


@dataclass(frozen=True, slots=True)
class New:
    """A new dimension of size one."""


Entry: TypeAlias = Span | At | New
WHOLE = Span()


def whole(rank: int) -> tuple[Entry, ...]:
    """The subscript that changes nothing."""
    return (WHOLE,) * rank


def extend(entries: Sequence[Entry], node: Node) -> tuple[Entry, ...] | None:
    """The subscript that does the node's work too; None where it takes a second one."""
    bound = schema.bind(node)
    seen = [i for i, e in enumerate(entries) if not isinstance(e, At)]
    dim = bound["dim"]
    assert isinstance(dim, int)
    found = list(entries)
    if schema.base(node.op) == "unsqueeze":
        dim += len(seen) + 1 if dim < 0 else 0
        found.insert(seen[dim] if dim < len(seen) else len(found), New())
        return tuple(found)
    place = seen[dim]
    if entries[place] != WHOLE:
        return None
    found[place] = At(bound["index"]) if schema.base(node.op) == "select" else _span(bound)
    return tuple(found)


def render(base: Expr, entries: Sequence[Entry], show: Callable[[Argument], Expr]) -> Expr:
    """``base[...]``; dimensions at the end that stay whole are not written."""
    written = list(entries)
    while written and written[-1] == WHOLE:
        written.pop()
    leading = next((i for i, e in enumerate(written) if e != WHOLE), len(written))
    full = len(written) == len(entries)
    parts = [_show(e, show) for e in written]
    if full and (leading > 2 or (leading == 2 and len(written) == 3)):
        parts = ["...", *parts[leading:]]
    return Expr(f"{base.at(ATOM)}[{', '.join(parts)}]")


def stored(index: Argument) -> tuple[Entry, ...]:
    """The subscript of a store."""
    assert isinstance(index, tuple)
    return tuple(map(_entry, index))


def _entry(entry: Argument) -> Entry:
    match entry:
        case None:
            return WHOLE
        case (start, stop, step):
            return Span(start, stop, step)
        case (index,):
            return At(index)
        case _:
            return At(entry)


def _span(bound: Mapping[str, Argument]) -> Span:
    start, stop, step = bound["start"], bound["end"], bound["step"]
    return Span(
        None if start == 0 and not isinstance(start, bool) else start,
        None if stop == LAST else stop,
        None if step == 1 else step,
    )


def _show(entry: Entry, show: Callable[[Argument], Expr]) -> str:
    match entry:
        case New():
            return "None"
        case At(index=index):
            return show(index).text
        case Span(start=start, stop=stop, step=step):
            texts = ["" if a is None else show(a).text for a in (start, stop, step)]
            return _colons(*texts)


def _colons(start: str, stop: str, step: str) -> str:
    """A slice as ruff spaces it: around the colons where an operand is not a name or number."""
    simple = all(re.fullmatch(r"-?\w*", t) for t in (start, stop, step))
    before, after = ("", "") if simple else (" ", " ")
    text = f"{start}{before if start else ''}:{after if stop else ''}{stop}"
    if step:
        text += f"{before if stop else ''}:{after}{step}"
    return text
