"""Equations of the operators that read an axis by position or by index: that axis stays whole, the
others pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from prunec.ir.axis import ONE, size
from prunec.ir.graph import TensorType, Type
from prunec.passes.axes.shapes import broadcast
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value

_ORDER = "the order of its indices matters"


def along(
    argument: str = "dim", default: int | tuple[int, ...] | None = -1
) -> Callable[..., Value]:
    """Operators that read the dimensions named by an argument as a whole: sort, top-k, Fourier
    transforms.

    ``default`` are the dimensions where the argument is absent or None; None stands for all.
    """

    def equations(site: Site) -> Value:
        axes = site.dims(site.tensors()[0])
        dims = _named(site, argument, default, len(axes))
        for d in dims:
            site.freeze(axes[d], _ORDER)
        for name in site.tensors()[1:]:
            _beside(site, axes, dims, site.dims(name))
        return _results(site, site.node.type, axes, dims)

    return equations


def _named(site: Site, argument: str, default: int | tuple[int, ...] | None, rank: int) -> set[int]:
    """The dimensions that the argument names; sizes without dimensions are those of the last."""
    if site.arg(argument) is not None:
        return {site.dimension(d, rank) for d in site.integers(argument)}
    if site.arg("s") is not None and default is None:
        return {site.dimension(-1 - d, rank) for d in range(len(site.integers("s")))}
    named = range(rank) if default is None else default
    return {site.dimension(d, rank) for d in ([named] if isinstance(named, int) else named)}


def _beside(site: Site, axes: Dims, dims: Collection[int], other: Dims) -> None:
    """Another operand (what `diff` prepends): frozen along the same dimensions, shared along the
    rest.
    """
    if len(other) != len(axes):
        raise Unsupported("the operands differ in rank")
    for d, (axis, theirs) in enumerate(zip(axes, other, strict=True)):
        if d in dims or size(axis) != size(theirs):
            site.freeze(axis, _ORDER)
            site.freeze(theirs, _ORDER)
        else:
            site.unify(axis, theirs)


def _results(site: Site, kind: Type, axes: Dims, dims: Collection[int]) -> Value:
    """The axes of a result in which the dimensions have other sizes, or are gone."""
    if isinstance(kind, tuple):
        return Items(_results(site, k, axes, dims) for k in kind)
    if not isinstance(kind, TensorType):
        return None
    if kind.rank == len(axes):
        return tuple(
            site.fixed(n, _ORDER) if d in dims and n != size(axes[d]) else axes[d]
            for d, n in enumerate(kind.shape)
        )
    if kind.rank == len(axes) - len(dims):
        return tuple(a for d, a in enumerate(axes) if d not in dims)
    raise Unsupported("the result has another rank")


def quantile(site: Site) -> Value:
    """Several quantiles are a new first axis."""
    axes = site.dims("self")
    dims = _named(site, "dim", None, len(axes))
    for d in dims:
        site.freeze(axes[d], _ORDER)
    keep = bool(site.arg("keepdim"))
    rest = tuple(ONE if d in dims else a for d, a in enumerate(axes) if keep or d not in dims)
    extra = site.shape()[: len(site.shape()) - len(rest)]
    for axis in site.dims("q") if site.is_tensor("q") else ():
        site.freeze(axis, "one quantile each")
    return (*(site.fixed(n, "one quantile each") for n in extra), *rest)


def rot90(site: Site) -> Value:
    """Both dimensions of the plane are reversed or exchanged."""
    axes = list(site.dims("self"))
    for d in (site.dimension(d, len(axes)) for d in site.integers("dims")):
        site.freeze(axes[d], "it is rotated")
        axes[d] = site.fixed(site.shape()[d], "it is rotated")
    return tuple(axes)


def reversed_dim(dim: int) -> Callable[[Site], Value]:
    """fliplr, flipud."""

    def equations(site: Site) -> Value:
        axes = list(site.dims("self"))
        site.freeze(axes[dim], "it is reversed")
        axes[dim] = site.fixed(size(axes[dim]), "it is reversed")
        return tuple(axes)

    return equations


def unfold(site: Site) -> Value:
    """Overlapping windows of one dimension, each laid along a new last one."""
    axes = list(site.dims("self"))
    dim = site.dimension(site.integer("dimension"), len(axes))
    site.freeze(axes[dim], "a window slides over it")
    axes[dim] = site.fixed(site.shape()[dim], "a window slides over it")
    return (*axes, site.fixed(site.shape()[-1], "a window slides over it"))


def gather(site: Site) -> Value:
    """self[i, index[i, j], k]: one dimension is looked up, in the others the index goes along."""
    axes, index = site.dims("self"), site.dims("index")
    if not axes or not index:
        raise Unsupported("a tensor of one number is indexed")
    dim = site.dimension(site.integer("dim"), len(axes))
    site.freeze(axes[dim], "it is looked up by index")
    for d, (axis, other) in enumerate(zip(axes, index, strict=True)):
        if d != dim:
            _prefix(site, axis, other)
    return index


def _prefix(site: Site, *axes: object) -> None:
    """The axes are one where their sizes agree; where one is the beginning of another both stay."""
    first, *others = axes
    for other in others:
        if size(first) == size(other):  # type: ignore[arg-type]
            site.unify(first, other)  # type: ignore[arg-type]
        else:
            site.freeze(first, "only its first indices are looked up")  # type: ignore[arg-type]
            site.freeze(other, "it indexes the first of a longer axis")  # type: ignore[arg-type]


def take_along_dim(site: Site) -> Value:
    """As `gather`, and the other dimensions broadcast."""
    axes, index = list(site.dims("self")), list(site.dims("indices"))
    if site.arg("dim") is None or len(axes) != len(index):
        raise Unsupported("it flattens the tensor")
    dim = site.dimension(site.integer("dim"), len(axes))
    site.freeze(axes[dim], "it is looked up by index")
    picked = index[dim]
    axes[dim] = index[dim] = ONE
    result = broadcast(site, [tuple(axes), tuple(index)])
    result[dim] = picked
    return tuple(result)


def scatter(site: Site) -> Value:
    """One dimension is written by index, in the others index and source go along."""
    axes, index = site.dims("self"), site.dims("index")
    if not axes or not index:
        raise Unsupported("a tensor of one number is indexed")
    dim = site.dimension(site.integer("dim"), len(axes))
    source = site.dims("src") if site.is_tensor("src") else index
    for d, row in enumerate(zip(axes, index, source, strict=True)):
        if d == dim:
            for axis in row:
                site.freeze(axis, "it is written by index")
        elif len({*map(size, row)}) == 1:
            _prefix(site, *row)
        else:
            for axis in row:
                site.freeze(axis, "only its first indices are written")
    return axes


def index_add(site: Site) -> Value:
    """index_add, index_copy, index_reduce, index_fill: one dimension is written by index."""
    axes = site.dims("self")
    dim = site.dimension(site.integer("dim"), len(axes))
    site.freeze(axes[dim], "it is written by index")
    for axis in site.dims("index"):
        site.freeze(axis, "it indexes")
    if site.is_tensor("source"):
        source = site.dims("source")
        if len(source) != len(axes):
            raise Unsupported("the source has another rank")
        for d, (axis, other) in enumerate(zip(axes, source, strict=True)):
            if d == dim:
                site.freeze(other, "it is written by index")
            else:
                site.unify(axis, other)
    return axes


def take(site: Site) -> Value:
    """An element of the flattened tensor for every index."""
    for axis in site.dims("self"):
        site.freeze(axis, "it is looked up by index")
    return site.dims("index")


def bucketize(site: Site) -> Value:
    """Element by element against boundaries."""
    for axis in site.dims("boundaries"):
        site.freeze(axis, _ORDER)
    return site.dims("self") if site.is_tensor("self") else ()


def searchsorted(site: Site) -> Value:
    """sequence[..., n] values[..., m] -> [..., m]; a sequence of rank one is for all values."""
    sequence = site.dims("sorted_sequence")
    values = site.dims("self") if site.is_tensor("self") else ()
    site.freeze(sequence[-1], _ORDER)
    if len(sequence) > 1:
        for axis, other in zip(sequence[:-1], values[:-1], strict=True):
            site.unify(axis, other)
    if site.is_tensor("sorter"):
        for axis, other in zip(sequence, site.dims("sorter"), strict=True):
            site.unify(axis, other)
    return values


def isin(site: Site) -> Value:
    for axis in site.dims("test_elements") if site.is_tensor("test_elements") else ():
        site.freeze(axis, "all of it is looked through")
    return site.dims("elements") if site.is_tensor("elements") else ()


def one_hot(site: Site) -> Value:
    """A new last axis with one index a class."""
    return (*site.dims("self"), site.fixed(site.shape()[-1], "one index a class"))


def cross(site: Site) -> Value:
    """The dimension of three, with broadcasting."""
    left, right = site.dims("self"), site.dims("other")
    if len(left) != len(right) or site.arg("dim") is None:
        raise Unsupported("its dimension is not given")
    dim = site.dimension(site.integer("dim"), len(left))
    for axis in (left[dim], right[dim]):
        site.freeze(axis, "its three indices are coordinates")
    return tuple(broadcast(site, [left, right]))


_TABLE: tuple[tuple[Callable[[Site], Value], str], ...] = (
    (along(), "sort argsort topk kthvalue mode cummax cummin diff"),
    (along(default=None), "nanmedian median"),
    (along(), "cumsum cumprod logcumsumexp cumulative_trapezoid trapezoid trapz"),
    (along(), "fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft"),
    (along(default=(-2, -1)), "fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_hfft2 fft_ihfft2"),
    (along(default=None), "fft_fftn fft_ifftn fft_rfftn fft_irfftn fft_hfftn fft_ihfftn"),
    (along(default=None), "fft_fftshift fft_ifftshift"),
    (along("", 0), "msort"),
    (quantile, "quantile nanquantile"),
    (rot90, "rot90"),
    (reversed_dim(0), "flipud"),
    (reversed_dim(1), "fliplr"),
    (unfold, "unfold"),
    (gather, "gather"),
    (take_along_dim, "take_along_dim"),
    (scatter, "scatter scatter_add scatter_reduce"),
    (index_add, "index_add index_copy index_reduce index_fill"),
    (take, "take"),
    (bucketize, "bucketize"),
    (searchsorted, "searchsorted"),
    (isin, "isin"),
    (one_hot, "one_hot"),
    (cross, "cross linalg_cross"),
)
POSITIONS: dict[str, Callable[[Site], Value]] = {
    name: equations for equations, names in _TABLE for name in names.split()
}
