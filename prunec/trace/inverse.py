"""Inverse: write a new value of a view back into the tensor that it is a view of.

For ``v = view(x)``, `run` emits the ``x'`` that has ``view(x') == new`` and is ``x`` elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prunec.ir.graph import Argument, ScalarType, TensorType, Type
from prunec.trace.build import Builder
from prunec.trace.faults import refuse


@dataclass(frozen=True, slots=True)
class View:
    """How a view is seen: ``op(parent, *rest, **kwargs)``, and of a tuple of views which part.

    ``maybe`` marks an operator that returns its input itself in eval mode, a copy in train mode.
    """

    op: str
    rest: tuple[Argument, ...] = ()
    kwargs: tuple[tuple[str, Argument], ...] = ()
    maybe: bool = False
    part: int | None = None
    parts: Type = None

    def get(self, position: int, name: str, default: Argument) -> Argument:
        """An argument by its position behind the parent, or by its name."""
        if position < len(self.rest):
            return self.rest[position]
        return dict(self.kwargs).get(name, default)


@dataclass(frozen=True, slots=True)
class Write:
    """``new`` in place of the ``view``, of type ``type``, of a tensor ``whole``."""

    view: View
    new: Argument
    type: TensorType
    whole: Argument
    whole_type: TensorType
    build: Builder

    def emit(self, op: str, *args: Argument) -> Argument:
        return self.build.emit(f"aten.{op}", args, self.whole_type, op.partition(".")[0])


def run(write: Write) -> Argument:
    """The new value of the whole.

    Raises:
        PruneError: P0312 if the view has no inverse here.
    """
    view = write.view
    name = view.op.removeprefix("aten.").split(".")[0]
    if name in SAME and write.type == write.whole_type:
        return write.new
    known = INVERSES if view.part is None else PARTS
    if name in known:
        return known[name](write)
    raise refuse(
        "P0312",
        f"a tensor is changed in place through `{view.op}`, which prunec cannot write back",
        write.build.line,
        "write the result into a new tensor instead (`y = x + 1`, not `x += 1`)",
    )


def _slice(w: Write) -> Argument:
    dim, start, end, step = (
        w.view.get(i, n, d)
        for i, (n, d) in enumerate((("dim", 0), ("start", None), ("end", None), ("step", 1)))
    )
    return w.emit("slice_scatter.default", w.whole, w.new, dim, start, end, step)


def _select(w: Write) -> Argument:
    return w.emit("select_scatter.default", w.whole, w.new, *w.view.rest)


def _diagonal(w: Write) -> Argument:
    return w.emit("diagonal_scatter.default", w.whole, w.new, *w.view.rest)


def _narrow(w: Write) -> Argument:
    dim, start, length = w.view.rest
    if not isinstance(start, int) or not isinstance(length, int):
        return _reshape_refused(w)
    return w.emit("slice_scatter.default", w.whole, w.new, dim, start, start + length)


def _swap(w: Write) -> Argument:
    return w.emit("transpose.int", w.new, *w.view.rest)


def _t(w: Write) -> Argument:
    dims = tuple(reversed(range(w.whole_type.rank)))
    return w.emit("permute.default", w.new, dims)


def _transpose_last(w: Write) -> Argument:
    return w.emit("transpose.int", w.new, -2, -1)


def _permute(w: Write) -> Argument:
    (dims,) = w.view.rest
    assert isinstance(dims, tuple)
    order = [d % w.whole_type.rank for d in dims if isinstance(d, int)]
    return w.emit("permute.default", w.new, tuple(map(order.index, range(len(order)))))


def _movedim(w: Write) -> Argument:
    source, destination = w.view.rest
    overload = w.view.op.rsplit(".", 1)[1]
    return w.emit(f"movedim.{overload}", w.new, destination, source)


def _unsqueeze(w: Write) -> Argument:
    return w.emit("squeeze.dim", w.new, w.view.rest[0])


def _reshape(w: Write) -> Argument:
    return w.emit("reshape.default", w.new, _sizes(w))


def _sizes(w: Write) -> tuple[Argument, ...]:
    """The whole's shape as an argument: what is dynamic is read from it at run time."""
    sizes: list[Argument] = []
    for dim, (size, symbol) in enumerate(
        zip(w.whole_type.shape, w.whole_type.symbols, strict=True)
    ):
        if symbol is None:
            sizes.append(size)
        else:
            sizes.append(w.build.emit("size", (w.whole, dim), ScalarType("int", size), "size"))
    return tuple(sizes)


def _section(w: Write) -> Argument:
    """One part of a split: a slice that begins where the parts before it end."""
    dim = w.view.get(1, "dim", 0)
    assert isinstance(dim, int)
    assert isinstance(w.view.parts, tuple)
    assert w.view.part is not None
    before = [p for p in w.view.parts[: w.view.part] if isinstance(p, TensorType)]
    if any(p.symbols[dim] is not None for p in (*before, w.type)):
        return _reshape_refused(w)
    start = sum(p.shape[dim] for p in before)
    return w.emit("slice_scatter.default", w.whole, w.new, dim, start, start + w.type.shape[dim])


def _element(w: Write) -> Argument:
    return w.emit("select_scatter.default", w.whole, w.new, w.view.get(0, "dim", 0), w.view.part)


def _reshape_refused(w: Write) -> Argument:
    raise refuse(
        "P0312",
        f"`{w.view.op}` gives a part whose place is dynamic, and it is changed in place",
        w.build.line,
        "fix that dimension, or write the result into a new tensor",
    )


SAME = frozenset(
    "alias contiguous detach expand expand_as reshape reshape_as to type_as view view_as flatten "
    "broadcast_to squeeze slice lift_fresh positive".split()
)
"""Views that are the whole when they have its type."""

INVERSES: Mapping[str, Callable[[Write], Argument]] = {
    "slice": _slice,
    "select": _select,
    "narrow": _narrow,
    "diagonal": _diagonal,
    "transpose": _swap,
    "swapaxes": _swap,
    "swapdims": _swap,
    "t": _t,
    "numpy_T": _t,
    "mT": _transpose_last,
    "adjoint": _transpose_last,
    "permute": _permute,
    "movedim": _movedim,
    "moveaxis": _movedim,
    "unsqueeze": _unsqueeze,
    "squeeze": _reshape,
    "view": _reshape,
    "view_as": _reshape,
    "reshape": _reshape,
    "reshape_as": _reshape,
    "flatten": _reshape,
    "unflatten": _reshape,
}

PARTS: Mapping[str, Callable[[Write], Argument]] = {
    "chunk": _section,
    "split": _section,
    "split_with_sizes": _section,
    "tensor_split": _section,
    "unbind": _element,
}
