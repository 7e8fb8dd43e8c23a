"""Indices: which values hold integers that index an axis, as a top-k over experts gives them.

`Facts.indexes` says so, value by value. When channels of the axis go, those that stay are
renumbered in order, and so are these integers: the same top-k of the kept slice gives them by
itself. A use that is not understood, arithmetic above all, freezes the axis.
"""

from __future__ import annotations

from collections.abc import Iterator

from prunec.ir.axis import Axis, size
from prunec.ir.graph import Argument, Node, Ref, TensorType
from prunec.passes.axes.site import Site


def forget(site: Site, reason: str) -> None:
    """Freeze every axis that an argument's integers index."""
    for axis in indexed(site):
        site.freeze(axis, reason)


def index_of(site: Site, argument: Argument, item: int | None = None) -> Axis | None:
    """The axis that a tensor's integers index, if any."""
    return site.facts.indexes.get((argument.name, item)) if isinstance(argument, Ref) else None


def indexed(site: Site) -> Iterator[Axis]:
    for ref in site.node.refs():
        axis = index_of(site, ref)
        if axis is not None:
            yield axis


def note(site: Site, axis: Axis, item: int | None = None) -> None:
    site.facts.indexes[site.node.name, item] = axis


def keep_indexing(site: Site) -> None:
    """What is picked out of indices are indices."""
    axis = index_of(site, site.arg("self"))
    if axis is not None:
        note(site, axis)


def pass_on(site: Site) -> None:
    """What a plain operator does with indices: it moves or ignores them, or else freezes them."""
    first = site.node.args[0] if site.node.args else None
    if site.base == "getitem" and isinstance(first, Ref):
        axis = index_of(site, first, site.node.args[1])  # type: ignore[arg-type]
        if axis is not None:
            note(site, axis)
        return
    if site.base in CASTS and isinstance(first, Ref) and first.name in site.facts.offsets:
        site.facts.offsets.add(site.node.name)
    axes = list(indexed(site))
    if not axes or site.base in SHAPE_ONLY:
        return
    if site.base in _MOVES and _all_index(site, first) and _holds_indices(site.node):
        for axis in axes[1:]:
            if size(axis) != size(axes[0]):
                forget(site, "indices into different axes are joined")
                return
            site.unify(axes[0], axis)
        count = len(site.node.type) if isinstance(site.node.type, tuple) else 0
        for item in (0,) if site.base == "sort" else range(count):
            note(site, axes[0], item)
        if not count:
            note(site, axes[0])
    elif site.base != "argsort":
        forget(site, "its indices are read as numbers")


def _holds_indices(node: Node) -> bool:
    """Whether the result's type can hold every index: a flag or a half-precision number cannot."""
    return not isinstance(node.type, TensorType) or node.type.dtype in _EXACT


def _all_index(site: Site, moved: Argument) -> bool:
    """Whether all that is moved are indices, and no index says where to."""
    items = moved if isinstance(moved, tuple) else (moved,)
    return all(index_of(site, item) is not None for item in items) and len(
        list(indexed(site))
    ) == len(items)


CASTS = frozenset("to _to_copy clone contiguous detach alias type_as".split())
_EXACT = frozenset({"int32", "int64", "float32", "float64"})
COMPARED = frozenset({"eq", "ne"})
RESHAPED = frozenset(
    """view _unsafe_view reshape flatten unflatten unsqueeze squeeze permute transpose t numpy_T mT
    movedim swapaxes expand""".split()
)
_MOVES = (
    CASTS
    | RESHAPED
    | frozenset(
        """slice select narrow cat concat stack split split_with_sizes chunk unbind repeat tile
        repeat_interleave roll flip index index_select gather sort""".split()
    )
)
SHAPE_ONLY = frozenset(
    """size zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones
    new_full new_empty""".split()
)
