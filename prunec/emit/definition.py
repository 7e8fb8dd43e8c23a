"""Definition: the constructor of a class as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prunec.emit import layout, show
from prunec.emit.classes import Class
from prunec.emit.construct import Construct, Text
from prunec.emit.expr import Expr, literal
from prunec.emit.lines import Line
from prunec.emit.parameters import Parameter
from prunec.emit.schema import MISSING


def run(cls: Class) -> list[str]:
    """The lines of ``__init__``; none where there is nothing to construct."""
    if not cls.lines and not cls.attributes:
        return []
    lines = layout.define("__init__", _signature(cls.parameters))
    rest = list(cls.lines)
    if cls.model.above == "nn.Module":
        lines.append("        super().__init__()")
    else:
        lines += _statement(rest.pop(0), cls)
    lines += [f"        self.{name} = {name}" for name in cls.attributes]
    for line in rest:
        lines += _statement(line, cls)
    return lines


def _statement(line: Line, cls: Class) -> Iterator[str]:
    shown = show.run(line.value, cls.names)
    if line.flag is None:
        yield from layout.statement(shown, 2, line.prefix)
        return
    flag = cls.names[line.flag.number]
    boolean = any(p.default is False for p in cls.parameters if line.flag.number in p.sites)
    test = flag if boolean else f"{flag} is not None"
    if line.prefix and shown.text == flag:
        text = f"nn.Identity() if {flag} is None else {flag}"
        yield from layout.statement(Expr(text), 2, line.prefix)
        return
    if line.prefix:
        yield f"        {line.prefix}nn.Identity()"
    yield f"        if {test}:"
    yield from layout.statement(shown, 3, line.prefix)


def _signature(parameters: Sequence[Parameter]) -> list[str]:
    """``["self", "width", "stride=1"]``."""
    shown = ["self"]
    for p in parameters:
        default = "" if p.default is MISSING else f"={_shown(p.default)}"
        shown.append(f"{p.name}{default}")
    return shown


def _shown(value: Any) -> Expr:
    return show.run(value) if isinstance(value, Construct | Text) else literal(value)
