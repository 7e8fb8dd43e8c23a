"""Constructions: what a constructor's lines assign, with settings still as values.

Settings stay values (not text) until the end, so that classes that differ in settings alone can be
made one class whose constructor takes what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from prunec.emit import expr
from prunec.emit.expr import Expr
from prunec.emit.schema import MISSING
from prunec.ir.graph import Argument, TorchName

Path: TypeAlias = tuple[int, ...]
"""Where a setting stands in a construction: argument numbers, outermost first."""


@dataclass(frozen=True, slots=True)
class Text:
    """A fixed piece of source among settings."""

    source: Expr


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: positional when ``name`` is None, left out when it is the ``default``.

    ``noun`` is what a constructor's parameter is called that passes this value on.
    """

    value: Construct | Text | Argument
    name: str | None = None
    default: Any = MISSING
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Construct:
    """A call (``nn.Linear(3, 4)``), or a list or dict (with ``keys``) of constructions."""

    callee: str
    args: tuple[Arg, ...] = ()
    form: Literal["call", "list", "dict"] = "call"
    keys: tuple[str, ...] = field(default=())


def settings(construct: Construct, at: Path = ()) -> Iterator[tuple[Path, Arg]]:
    """Every plain setting, with its place."""
    for i, arg in enumerate(construct.args):
        if isinstance(arg.value, Construct):
            yield from settings(arg.value, (*at, i))
        elif not isinstance(arg.value, Text):
            yield (*at, i), arg


def skeleton(construct: Construct) -> object:
    """The construction without its settings; equal skeletons can share a class."""
    inner: list[object] = []
    for arg in construct.args:
        match arg.value:
            case Construct():
                inner.append((arg.name, skeleton(arg.value)))
            case Text(source=source):
                inner.append((arg.name, "text", source.text))
            case _:
                inner.append((arg.name, "setting"))
    return construct.callee, construct.form, construct.keys, tuple(inner)


def render(construct: Construct, given: Mapping[Path, str], at: Path = ()) -> Expr:
    """The source; ``given`` names the settings that a constructor's parameter passes."""
    items: list[Expr] = []
    for i, arg in enumerate(construct.args):
        place = (*at, i)
        match arg.value:
            case Construct():
                shown = render(arg.value, given, place)
            case Text(source=source):
                shown = source
            case value:
                if place not in given and same(value, arg.default):
                    continue
                shown = Expr(given[place]) if place in given else expr.literal(value)
        items.append(shown if arg.name is None else expr.named(arg.name, shown))
    match construct.form:
        case "call":
            return expr.call(construct.callee, items)
        case "list":
            return _within(construct.callee, _repeated(items))
        case "dict":
            pairs = map(expr.pair, construct.keys, items)
            return expr.call(construct.callee, [expr.display(pairs, "{}")])


def same(a: object, b: object) -> bool:
    """Equality that tells ``1`` from ``True`` and ``1.0``."""
    return type(a) is type(b) and a == b


def dtype(name: str) -> Arg:
    """The ``dtype=`` of a construction, left out where it is torch's default."""
    return Arg(TorchName(name), "dtype", TorchName("float32"), "dtype")


def _repeated(items: list[Expr]) -> Expr:
    """A list; many equal items are a comprehension, which constructs each anew."""
    if len(items) > 2 and len({i.text for i in items}) == 1:
        return Expr(f"[{items[0].text} for _ in range({len(items)})]", bracket="[]")
    return expr.display(items, "[]")


def _within(callee: str, inner: Expr) -> Expr:
    return expr.call(callee, [inner])
