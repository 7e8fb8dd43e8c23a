"""Arguments: how the arguments of a call are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from prunec.emit.construct import same
from prunec.emit.constructors import square
from prunec.emit.expr import Expr, named
from prunec.emit.schema import MISSING, Param
from prunec.emit.spellings import FOLLOWS
from prunec.ir.graph import Argument, TorchName


class Render(Protocol):
    """What a spelling needs from the function that it stands in."""

    def show(self, argument: Argument) -> Expr:
        """An argument; a value by its name or as the expression that makes it."""

    def number(self, argument: Argument) -> Expr | None:
        """The value of a constant without dimensions that the source writes out."""

    def dtype(self, name: str) -> Expr:
        """A dtype; a floating one as that of a tensor at hand, where there is one."""

    def device(self) -> Expr | None:
        """The device of a tensor at hand."""


def row(
    known: Sequence[Param], bound: Mapping[str, Argument], render: Render, *, lists: bool = False
) -> list[Expr]:
    """Arguments in schema order, defaults left out; flags and whatever follows a gap by keyword.

    ``lists`` says that a list of one number, or of equal ones, must stay a list.
    """
    items: list[Expr] = []
    gap = False
    for param in known:
        value = bound[param.name]
        if same(value, param.default) or same(square(value), square(param.default)):
            gap = True
            continue
        flag = param.default is not MISSING and isinstance(value, bool | None | str | TorchName)
        gap = gap or param.keyword_only or flag or param.name in ("min", "max")
        shown = (
            render.show(value) if lists and isinstance(value, tuple) else one(param, value, render)
        )
        items.append(named(param.name, shown) if gap else shown)
    return items


def one(param: Param, value: Argument, render: Render) -> Expr:
    if param.name in FOLLOWS and value is False:
        return Expr("self.training")
    if param.name == "dtype" and isinstance(value, TorchName):
        return render.dtype(value.name)
    if isinstance(value, tuple) and param.size is not None and len(value) > 0:
        value = square(value) if param.size > 1 or len(value) == 1 else value
    return render.show(value)
