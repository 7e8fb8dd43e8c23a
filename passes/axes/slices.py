"""Equations of the operators that cut an axis: slices, splits, padding, rolls, indexing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from prunec.ir.axis import Axis, size
from prunec.ir.graph import TensorType
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value
from prunec.passes.axes.solver import concat


def slice_(site: Site) -> Value:
    """``x[start:end:step]`` along one dimension; a step fixes the inner factor."""
    axes = list(site.dims("self"))
    dim = site.dimension(site.integer("dim"), len(axes))
    axes[dim] = _sliced(site, axes[dim], site.shape()[dim])
    return tuple(axes)


def _sliced(site: Site, axis: Axis, length: int) -> Axis:
    start, end, step = site.arg("start"), site.arg("end"), site.arg("step")
    total = size(axis)
    start, end = (0 if start is None else start), (total if end is None else end)
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int)):
        site.freeze(axis, "its bounds are computed at run time")
        return site.fixed(length, "it is cut at run time")
    first, last = slice(start, end).indices(total)[:2]
    if length == total:
        return axis
    if site.solver.is_frozen(axis):
        return site.fixed(length, "it is a slice of a frozen axis")
    if step != 1:
        return _strided(site, axis, (first, last, step), length)
    if first > 0:
        site.counts(site.path("start"), axis, 0, first)
    if last < total:
        site.counts(site.path("end"), axis, 0, last)
    return site.solver.slice(axis, first, last) if length else site.fixed(0, "it is empty")


def _strided(site: Site, axis: Axis, bounds: tuple[int, int, int], length: int) -> Axis:
    """``x[first::step]`` is one index of the inner factor; any end after the last will do."""
    first, last, step = bounds
    total = size(axis)
    complete = total % step == 0 and first < step and length == total // step
    parted = site.solver.split(axis, step) if complete else None
    if parted is None:
        site.freeze(axis, "it is cut with a step")
        return site.fixed(length, "it is cut with a step")
    outer, inner = parted
    site.freeze(inner, "it is cut with a step")
    if last < total or site.arg("end") == total:
        site.counts(site.path("end"), axis)
    return outer


def narrow(site: Site) -> Value:
    """``x[start:start+length]`` along one dimension."""
    axes = list(site.dims("self"))
    dim, start, length = (
        site.dimension(site.integer("dim"), len(axes)),
        site.arg("start"),
        site.arg("length"),
    )
    axis = axes[dim]
    if not (isinstance(start, int) and isinstance(length, int)) or length == 0:
        raise Unsupported("its bounds are computed at run time or empty")
    first = start % size(axis)
    site.counts(site.path("start"), axis, 0, first)
    site.counts(site.path("length"), axis, first, first + length)
    axes[dim] = site.solver.slice(axis, first, first + length)
    return tuple(axes)


def select(site: Site) -> Value:
    """``x[index]`` along one dimension: that index alone cannot be removed."""
    axes = list(site.dims("self"))
    dim, index = site.dimension(site.integer("dim"), len(axes)), site.arg("index")
    axis = axes.pop(dim)
    if not isinstance(index, int):
        site.freeze(axis, "it is indexed at run time")
        return tuple(axes)
    index %= size(axis)
    if size(axis) > 1 and not site.solver.is_frozen(axis):
        site.solver.slice(axis, index, index + 1)
        site.counts(site.path("index"), axis, 0, index)
    return tuple(axes)


def split(site: Site) -> Value:
    """split, chunk, tensor_split, split_with_sizes: consecutive segments.

    The lengths are counted at the pseudo-path ``("sections", i)`` where the operator does not spell
    them out.
    """
    dims = site.dims("self")
    dim = site.dimension(site.integer("dim"), len(dims))
    kinds = site.node.type
    if not isinstance(kinds, tuple) or not all(
        isinstance(k, TensorType) and 0 not in k.shape for k in kinds
    ):
        raise Unsupported("a section is empty")
    lengths = [k.shape[dim] for k in kinds if isinstance(k, TensorType)]
    axis = dims[dim]
    if site.solver.is_frozen(axis):
        sections = [site.fixed(n, "it is a section of a frozen axis") for n in lengths]
        return Items(_replace(dims, dim, s) for s in sections)
    explicit = next(
        (n for n in ("split_sizes", "split_size") if isinstance(site.arg(n), tuple)), None
    )
    ends = list(accumulate(lengths))
    for position, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        path = site.path(explicit, position) if explicit else ("sections", position)
        site.counts(path, axis, start, end)
    return Items(
        _replace(dims, dim, site.solver.slice(axis, start, end))
        for start, end in zip([0, *ends], ends, strict=False)
    )


def unbind(site: Site) -> Value:
    """One result an index: the axis is frozen."""
    axes = list(site.dims("self"))
    axis = axes.pop(site.dimension(site.integer("dim"), len(axes)))
    site.freeze(axis, "every index of it is a value of its own")
    return Items(tuple(axes) for _ in range(size(axis)))


def pad(site: Site) -> Value:
    """Constant padding is a segment of its own, with no weight behind it; other modes mirror the
    axis.
    """
    axes = list(site.dims("self"))
    amounts = site.integers("pad")
    constant = site.base == "constant_pad_nd" or site.arg("mode") == "constant"
    for pair in range(len(amounts) // 2):
        before, after = amounts[2 * pair], amounts[2 * pair + 1]
        position = len(axes) - 1 - pair
        axis = axes[position]
        if before == after == 0:
            continue
        if not constant or before < 0 or after < 0:
            site.freeze(axis, "it is mirrored or cropped by padding")
            axes[position] = site.fixed(size(axis) + before + after, "it is padded")
            continue
        parts = [axis]
        if before:
            parts.insert(0, site.solver.fresh(before))
            site.counts(site.path("pad", 2 * pair), parts[0])
        if after:
            parts.append(site.solver.fresh(after))
            site.counts(site.path("pad", 2 * pair + 1), parts[-1])
        axes[position] = concat(parts)
    return tuple(axes)


def roll(site: Site) -> Value:
    """A rotation exchanges two segments; the shift counts the second one."""
    axes = list(site.dims("self"))
    dims = site.integers("dims")
    given = site.arg("shifts")
    shifts = given if isinstance(given, tuple) else (given,)
    if not dims or len(shifts) != len(dims):
        raise Unsupported("it rolls the flattened tensor")
    for position, (shift, dim) in enumerate(zip(shifts, dims, strict=True)):
        axis = axes[dim]
        if site.solver.is_frozen(axis) or not isinstance(shift, int) or dims.count(dim) > 1:
            site.freeze(axis, "it is rolled by a computed shift")
            axes[dim] = site.fixed(size(axis), "it is rolled")
        elif shift % size(axis):
            boundary = size(axis) - shift % size(axis)
            site.counts(site.path("shifts", position), axis, boundary, size(axis))
            axes[dim] = concat([*reversed(site.solver.cut(axis, boundary))])
    return tuple(axes)


def flip(site: Site) -> Value:
    """A reversed axis is not the axis: both stay as they are."""
    axes = list(site.dims("self"))
    for dim in site.integers("dims"):
        site.freeze(axes[dim], "it is reversed")
        axes[dim] = site.fixed(size(axes[dim]), "it is reversed")
    return tuple(axes)


def slice_scatter(site: Site) -> Value:
    """A slice overwritten: what overwrites it has that segment of the axis, and the other axes."""
    axes, source = site.dims("self"), site.dims("src")
    dim = site.dimension(site.integer("dim"), len(axes))
    segment = _segment(site, axes[dim])
    if segment is None:
        site.freeze(axes[dim], "a slice of it is overwritten")
    if site.base == "slice_scatter":
        if segment is None:
            site.freeze(source[dim], "it overwrites a slice")
        else:
            site.unify(segment, source[dim])
        source = (*source[:dim], *source[dim + 1 :])
    for axis, other in zip((*axes[:dim], *axes[dim + 1 :]), source, strict=True):
        site.unify(axis, other)
    return axes


def _segment(site: Site, axis: Axis) -> Axis | None:
    """The part of an axis that is overwritten; None where it is frozen or not one whole segment."""
    single = site.base == "select_scatter"
    start, end = (site.arg(n) for n in (("index", "index") if single else ("start", "end")))
    total = size(axis)
    start, end = (0 if start is None else start), (total if end is None else end)
    if not (isinstance(start, int) and isinstance(end, int)) or site.solver.is_frozen(axis):
        return None
    if single:
        first = start % total
        site.counts(site.path("index"), axis, 0, first)
        return site.solver.slice(axis, first, first + 1)
    first, last = slice(start, end).indices(total)[:2]
    if site.arg("step") != 1 or first >= last:
        return None
    if first > 0:
        site.counts(site.path("start"), axis, 0, first)
    if last < total:
        site.counts(site.path("end"), axis, 0, last)
    return site.solver.slice(axis, first, last)


def _replace(dims: Dims, position: int, axis: Axis) -> Dims:
    return (*dims[:position], axis, *dims[position + 1 :])


def getitem(site: Site) -> Value:
    """One item of a tuple value."""
    source, position = site.node.args[0], site.node.args[1]
    value = site.facts.values[source.name]  # type: ignore[union-attr]
    if value is None:
        return site.opaque("it is an item of a value without axes")
    return value[position]  # type: ignore[index,return-value]


SLICES: dict[str, Callable[[Site], Value]] = {
    "slice": slice_,
    "narrow": narrow,
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), split),
    **dict.fromkeys(("unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes"), split),
    "unbind": unbind,
    "pad": pad,
    "constant_pad_nd": pad,
    "roll": roll,
    "flip": flip,
    "slice_scatter": slice_scatter,
    "select_scatter": slice_scatter,
    "getitem": getitem,
}
