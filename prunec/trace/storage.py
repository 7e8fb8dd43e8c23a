"""Storage: in-place operators made functional.

A traced program may write into tensors that other tensors are views of. Here each traced tensor is
a `Cell`: a base with a value of its own, or a view, which remembers how it is seen from its parent.
A write into a view is written back through its parents (`inverse`); a view that is older than its
base is computed again when it is next read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from prunec.diagnostics import InternalError
from prunec.ir.graph import Argument, Ref, TensorType, Type
from prunec.trace import inverse
from prunec.trace.build import Builder
from prunec.trace.faults import refuse
from prunec.trace.inverse import View, Write


@dataclass(eq=False, slots=True)
class Cell:
    """One tensor (or tuple of views) of the traced program, and the graph's value of it at present.

    ``view`` and ``parent`` say how a view is seen. ``version`` counts the writes into a base; in a
    view it is the base's count at which ``value`` was right. ``owner`` names what must not be
    written (an input, a weight), ``opaque`` an operator that shares the base's memory in a way that
    is not understood; ``lost`` says why the value can no longer be told.
    """

    value: Argument
    type: Type
    parent: Cell | None = None
    view: View | None = None
    version: int = 0
    owner: str | None = None
    opaque: str | None = None
    lost: str | None = None

    @property
    def base(self) -> Cell:
        cell = self
        while cell.parent is not None:
            cell = cell.parent
        return cell


def seen(value: Argument, type: Type, parent: Cell, view: View) -> Cell:
    """A view of ``parent`` that has just been computed."""
    return Cell(value, type, parent, view, parent.base.version)


def read(cell: Cell, build: Builder) -> Argument:
    """The present value of a cell; a view whose base was written since is computed again.

    Raises:
        PruneError: P0312 if the value can no longer be told.
    """
    base = cell.base
    if base.lost is not None:
        raise refuse("P0312", base.lost, build.line, _REWRITE)
    if cell.parent is None or cell.view is None or cell.version == base.version:
        return cell.value
    whole = read(cell.parent, build)
    view = cell.view
    cell.value = build.emit(view.op, (whole, *view.rest), cell.type, _name(cell.value), view.kwargs)
    cell.version = base.version
    return cell.value


def write(cell: Cell, value: Argument, build: Builder) -> None:
    """Give a cell a new value, and with it every tensor that shares its memory.

    Raises:
        PruneError: P0312 where an input or a weight would change, or a view cannot be written back.
    """
    new = value
    pending = [(cell, value)]
    while cell.parent is not None and cell.view is not None:
        whole, view = cell.parent, cell.view
        if view.maybe:
            whole.base.lost = _MAYBE.format(op=view.op)
            cell.parent, cell.view = None, None
            break
        if view.op == "getitem" and whole.parent is not None and whole.view is not None:
            view, whole = replace(whole.view, part=_index(view), parts=whole.type), whole.parent
        new = inverse.run(_write(view, new, cell, whole, build))
        cell = whole
        pending.append((cell, new))
    _allow(cell, build)
    cell.version += 1
    for changed, present in pending:
        changed.value, changed.version = present, cell.version


def _write(view: View, new: Argument, cell: Cell, whole: Cell, build: Builder) -> Write:
    if not isinstance(cell.type, TensorType) or not isinstance(whole.type, TensorType):
        raise InternalError(f"a write into a {cell.type} of a {whole.type}")
    return Write(view, new, cell.type, read(whole, build), whole.type, build)


def _allow(base: Cell, build: Builder) -> None:
    if base.owner is not None:
        raise refuse(
            "P0312", f"the model writes into its {base.owner} in place", build.line, _REWRITE
        )
    if base.opaque is not None:
        message = f"a tensor is changed in place while `{base.opaque}` shares its memory"
        raise refuse("P0312", message, build.line, _REWRITE)


def _index(view: View) -> int:
    index = view.rest[0]
    assert isinstance(index, int)
    return index


def _name(value: Argument) -> str:
    return value.name if isinstance(value, Ref) else "view"


_MAYBE = (
    "a tensor is changed in place behind `{op}`, which shares its input's memory in eval mode only"
)
_REWRITE = "write the result into a new tensor instead (`y = x + 1`, not `x += 1`)"
