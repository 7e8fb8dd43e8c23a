"""Equations of the operators that lay several tensors side by side, or one along a diagonal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prunec.ir.axis import ONE, size
from prunec.ir.graph import TensorType
from prunec.passes.axes.shapes import broadcast, cat_along, listed
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value
from prunec.passes.axes.solver import concat, product


def atleast(rank: int) -> Callable[[Site], Value]:
    """atleast_1d, 2d, 3d: of one tensor or of each in a list."""

    def equations(site: Site) -> Value:
        if isinstance(site.node.type, TensorType):
            return _at_least(site.dims("self"), rank)
        return Items(_at_least(dims, rank) for dims in listed(site, "tensors"))

    return equations


def _at_least(axes: Dims, rank: int) -> Dims:
    """[a] is [1, a] and [1, a, 1]; [a, b] is [a, b, 1]."""
    if len(axes) >= rank:
        return axes
    if rank == 3:
        return (*((ONE,) if len(axes) < 2 else ()), *(axes or (ONE,)), ONE)
    return (*(ONE for _ in range(rank - len(axes))), *axes)


def stacked(rank: int, dim: int) -> Callable[[Site], Value]:
    """hstack, vstack, dstack: a concatenation of tensors of at least a rank."""

    def equations(site: Site) -> Value:
        operands = [_at_least(dims, rank) for dims in listed(site, "tensors")]
        return cat_along(site, operands, 0 if len(operands[0]) == 1 else dim)

    return equations


def column_stack(site: Site) -> Value:
    """Vectors become columns."""
    operands = [(*d, ONE) if len(d) < 2 else d for d in listed(site, "tensors")]
    return cat_along(site, [d if len(d) > 1 else (ONE, ONE) for d in operands], 1)


def block_diag(site: Site) -> Value:
    """Matrices along a diagonal: their rows are segments, and so are their columns."""
    operands = [_at_least(dims, 2) for dims in listed(site, "tensors")]
    return (concat([o[0] for o in operands]), concat([o[1] for o in operands]))


def meshgrid(site: Site) -> Value:
    """One dimension a tensor; "xy" exchanges the first two."""
    axes = [dims[0] if dims else ONE for dims in listed(site, "tensors")]
    if site.arg("indexing") == "xy" and len(axes) > 1:
        axes[0], axes[1] = axes[1], axes[0]
    return Items(tuple(axes) for _ in axes)


def cartesian_prod(site: Site) -> Value:
    """Every combination is a row: the rows are the product of the axes."""
    operands = listed(site, "tensors")
    if len(operands) == 1:
        return operands[0]
    rows = product([dims[0] for dims in operands])
    return (rows, site.fixed(len(operands), "one index a tensor"))


def broadcast_tensors(site: Site) -> Value:
    operands = listed(site, "tensors")
    axes = tuple(broadcast(site, operands))
    return Items(axes for _ in operands)


def kron(site: Site) -> Value:
    """[a, b] x [c, d] -> [a*c, b*d]."""
    left, right = site.dims("self"), site.dims("other")
    rank = max(len(left), len(right))
    left, right = (_padded(dims, rank) for dims in (left, right))
    return tuple(product([a, b]) for a, b in zip(left, right, strict=True))


def _padded(axes: Sequence[object], rank: int) -> Dims:
    return (*(ONE for _ in range(rank - len(axes))), *axes)  # type: ignore[arg-type]


def diagonal(site: Site) -> Value:
    """The main diagonal of a square has the axis of both sides; any other diagonal is cut out."""
    axes = site.dims("self")
    first, second = (site.dimension(site.integer(n), len(axes)) for n in ("dim1", "dim2"))
    rest = [a for d, a in enumerate(axes) if d not in (first, second)]
    if site.arg("offset") == 0 and size(axes[first]) == size(axes[second]):
        site.unify(axes[first], axes[second])
        return (*rest, axes[first])
    for d in (first, second):
        site.freeze(axes[d], "a diagonal is cut out of it")
    return (*rest, site.fixed(site.shape()[-1], "a diagonal is cut out"))


def diag_embed(site: Site) -> Value:
    """[..., a] -> [..., a, a], the two at ``dim1`` and ``dim2``."""
    *batch, axis = site.dims("self")
    rank = len(batch) + 2
    dims = [site.dimension(site.integer(n), rank) for n in ("dim1", "dim2")]
    side = axis
    if site.arg("offset") != 0:
        site.freeze(axis, "it lies beside the diagonal")
        side = site.fixed(site.shape()[dims[0]], "it lies beside the diagonal")
    rest = iter(batch)
    return tuple(side if d in dims else next(rest) for d in range(rank))


def diag(site: Site) -> Value:
    """A vector becomes a diagonal, a matrix gives its own."""
    axes, main = site.dims("self"), site.arg("diagonal") == 0
    if len(axes) == 1 and main:
        return (axes[0], axes[0])
    if len(axes) == 2 and main and size(axes[0]) == size(axes[1]):
        site.unify(*axes)
        return (axes[0],)
    for axis in axes:
        site.freeze(axis, "a diagonal is cut out of it")
    return tuple(site.fixed(n, "it lies beside the diagonal") for n in site.shape())


def trace(site: Site) -> Value:
    """The sum of the main diagonal."""
    rows, columns = site.dims("self")
    if size(rows) == size(columns):
        site.unify(rows, columns)
    else:
        for axis in (rows, columns):
            site.freeze(axis, "a diagonal is cut out of it")
    return ()


def diagonal_scatter(site: Site) -> Value:
    """A diagonal overwritten: both sides stay, the other dimensions are shared."""
    axes, source = site.dims("self"), site.dims("src")
    sides = {site.dimension(site.integer(n), len(axes)) for n in ("dim1", "dim2")}
    for d in sides:
        site.freeze(axes[d], "a diagonal of it is overwritten")
    site.freeze(source[-1], "it overwrites a diagonal")
    rest = [a for d, a in enumerate(axes) if d not in sides]
    for axis, other in zip(rest, source[:-1], strict=True):
        site.unify(axis, other)
    return axes


def separated(dim: int) -> Callable[[Site], Value]:
    """hsplit, vsplit, dsplit: the axis that is cut stays."""

    def equations(site: Site) -> Value:
        axes, kinds = site.dims("self"), site.node.type
        if not isinstance(kinds, tuple):
            raise Unsupported("the result is no list")
        at = 0 if len(axes) == 1 else dim
        site.freeze(axes[at], "it is cut (`tensor_split` would let it go)")
        parts = [k.shape[at] for k in kinds if isinstance(k, TensorType)]
        fixed = [site.fixed(n, "it is a section of a frozen axis") for n in parts]
        return Items((*axes[:at], part, *axes[at + 1 :]) for part in fixed)

    return equations


JOINS: dict[str, Callable[[Site], Value]] = {
    "atleast_1d": atleast(1),
    "atleast_2d": atleast(2),
    "atleast_3d": atleast(3),
    "hstack": stacked(1, 1),
    "vstack": stacked(2, 0),
    "row_stack": stacked(2, 0),
    "dstack": stacked(3, 2),
    "column_stack": column_stack,
    "hsplit": separated(1),
    "vsplit": separated(0),
    "dsplit": separated(2),
    "block_diag": block_diag,
    "meshgrid": meshgrid,
    "cartesian_prod": cartesian_prod,
    "broadcast_tensors": broadcast_tensors,
    "kron": kron,
    "diagonal": diagonal,
    "diag_embed": diag_embed,
    "diag": diag,
    "trace": trace,
    "diagonal_scatter": diagonal_scatter,
}
