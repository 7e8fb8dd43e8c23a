"""Equations of indexing with tensors: what is indexed is frozen, and the indices' own
axes take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunec.ir.axis import Axis, size
from prunec.ir.graph import TensorType, WeightRef
from prunec.passes.axes.shapes import broadcast
from prunec.passes.axes.site import Dims, Site, Unsupported, Value


@dataclass(frozen=True, slots=True)
class Indexed:
    """An indexing ``x[i, :, j]``: the dimensions that are indexed (a mask indexes as many as it
    has), the axes of the integer indices, and where the picked axes stand among the others.
    """

    dims: tuple[int, ...]
    indices: tuple[Dims, ...]
    masks: tuple[tuple[int, Dims], ...]
    at: int


def indexed(site: Site, rank: int) -> Indexed:
    """What the argument ``indices`` says."""
    given = site.arg("indices")
    if not isinstance(given, tuple):
        raise Unsupported("the indices are not a list")
    dims, tensors, masks, at = list[int](), list[Dims](), list[tuple[int, Dims]](), 0
    for item in given:
        axes = site.dims_of(item)
        if axes is None:
            at += 1
            continue
        if _is_mask(site, item):
            masks.append((at, axes))
        else:
            tensors.append(axes)
        covered = len(axes) if _is_mask(site, item) else 1
        dims += range(at, at + covered)
        at += covered
    if not dims or dims[-1] >= rank:
        raise Unsupported("no dimension is indexed, or a mask without one")
    together = dims == list(range(dims[0], dims[-1] + 1))
    return Indexed(tuple(dims), tuple(tensors), tuple(masks), dims[0] if together else 0)


def index(site: Site) -> Value:
    """``x[i, :, j]`` with index tensors: the indexed axes are frozen."""
    axes = site.dims("self")
    found = indexed(site, len(axes))
    picked = _picked(site, axes, found)
    rest = [a for d, a in enumerate(axes) if d not in found.dims]
    return (*rest[: found.at], *picked, *rest[found.at :])


def _picked(site: Site, axes: Dims, found: Indexed) -> Sequence[Axis]:
    for d in found.dims:
        site.freeze(axes[d], "it is indexed")
    for _, mask in found.masks:
        for axis in mask:
            site.freeze(axis, "it is a mask")
    if not found.masks:
        return broadcast(site, found.indices)
    for axis in (a for dims in found.indices for a in dims):
        site.freeze(axis, "it is indexed together with a mask")
    kind = site.node.type
    length = len(kind.shape) - len(axes) + len(found.dims) if isinstance(kind, TensorType) else 0
    if len(found.masks) > 1 or found.indices or length != 1:
        raise Unsupported("it is indexed by several masks")
    return (site.fixed(site.shape()[found.at], "its length depends on values"),)


def index_put(site: Site) -> Value:
    """Elements overwritten: one number wherever a mask says so goes element by element; else the
    indexed axes are frozen.
    """
    axes, values = site.dims("self"), site.dims("values")
    found = indexed(site, len(axes))
    rest = [a for d, a in enumerate(axes) if d not in found.dims]
    if len(found.masks) == 1 and not found.indices:
        start, mask = found.masks[0]
        inside = len(rest) - found.at  # dimensions after those that the mask covers
        tail, head = values[len(values) - inside :], values[: max(len(values) - inside, 0)]
        if all(size(a) == 1 for a in head) and len(values) <= inside + 1:
            for axis, other in zip(axes[start:], mask, strict=False):
                site.unify(axis, other)
            broadcast(site, [axes, tail if inside else ()])
            return axes
        for axis in (*mask, *values):
            site.freeze(axis, "as many values as the mask has")
        picked: Sequence[Axis] = ()
    else:
        picked = _written(site, axes, found)
    for d in found.dims:
        site.freeze(axes[d], "it is written by index")
    if not found.masks:
        whole = [*rest[: found.at], *picked, *rest[found.at :]]
        if len(values) > len(whole):
            raise Unsupported("the values do not fit")
        broadcast(site, [tuple(whole), values])
    else:
        for axis in rest:
            site.freeze(axis, "as many values as the mask has")
    return axes


def _written(site: Site, axes: Dims, found: Indexed) -> Sequence[Axis]:
    if found.masks:
        raise Unsupported("it is indexed by a mask and by numbers")
    picked = broadcast(site, found.indices)
    for axis in picked:
        site.freeze(axis, "it says where values are written")
    return picked


def _is_mask(site: Site, item: object) -> bool:
    name = getattr(item, "name", "")
    kind = (
        site.facts.graph.weight[name].type
        if isinstance(item, WeightRef)
        else site.facts.graph.types.get(name)
    )
    return isinstance(kind, TensorType) and kind.dtype in {"bool", "uint8"}


def index_select(site: Site) -> Value:
    axes = list(site.dims("self"))
    dim = site.dimension(site.integer("dim"), len(axes))
    site.freeze(axes[dim], "it is indexed")
    axes[dim] = site.dims("index")[0] if site.dims("index") else site.fixed(1, "it is indexed")
    return tuple(axes)


INDEXING: dict[str, Callable[[Site], Value]] = {
    "index": index,
    "_unsafe_index": index,
    "index_put": index_put,
    "_unsafe_index_put": index_put,
    "index_select": index_select,
}
