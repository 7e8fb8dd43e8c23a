"""Shrink: remove a plan's blocks, layers and channels from the graph and its weights.

Removing channel k of a group is `index_select` of every place at the indices that the axis
expression gives for k. Arguments that count channels are counted again from the expressions;
nothing is patched by hand. Branches go first (`passes.drop`): channels inside them do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from prunec.diagnostics import InternalError
from prunec.ir.axis import Axis, Mask, atoms, mask
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType, Type, Weight
from prunec.ir.group import Axes, Group, SizeOf
from prunec.ir.plan import Plan
from prunec.passes import drop

# Per dimension the indices kept, None where all are; a tuple of those for a tuple value; None for a
# number.
KeptOfValue: TypeAlias = "tuple[Mask | None, ...] | tuple[KeptOfValue, ...] | None"


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The smaller graph and weights; per value and weight name what was kept of its dimensions.

    ``dropped[sum]`` are the operands of an addition that are gone, with all that made them;
    ``absent`` the weights that went with those. ``values`` and ``kept`` name what is gone too.
    ``renumbered[input]`` are the integers that the input may still hold, which are numbered anew.
    """

    graph: Graph
    weights: dict[str, torch.Tensor]
    values: Mapping[str, KeptOfValue]
    kept: Mapping[str, tuple[Mask | None, ...]]
    dropped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    renumbered: Mapping[str, Mask] = field(default_factory=dict)


def run(
    graph: Graph,
    weights: Mapping[str, torch.Tensor],
    axes: Axes,
    groups: tuple[Group, ...],
    plan: Plan,
) -> Shrunk:
    """Apply a plan. Values of kept channels are those of the dense model; the same graph where
    nothing goes.
    """
    branches = [b for g in groups if plan.keep.get(g.name) == () for b in g.branches]
    channels = tuple(g for g in groups if not g.branches)
    keep = _Keep(plan.masks(channels))
    values = {name: keep.value(graph.types[name], dims) for name, dims in axes.values.items()}
    kept = {name: tuple(keep.mask(axis) for axis in dims) for name, dims in axes.weights.items()}
    absent = frozenset(name for branch in branches for name in branch.weights)
    slim = {n: select(tensor, kept[n]) for n, tensor in weights.items() if n not in absent}
    dropped: dict[str, frozenset[str]] = {}
    for branch in branches:
        dropped[branch.node] = dropped.get(branch.node, frozenset()) | {branch.value.name}
    smaller = drop.run(graph, branches)
    if keep.masks:
        smaller = replace(
            smaller,
            weights=tuple(_weight(w, kept[w.name]) for w in smaller.weights),
            nodes=tuple(_node(n, smaller, axes, keep, values[n.name]) for n in smaller.nodes),
        )
    ids = {name: keep.mask(axis) for name, axis in axes.renumbered.items()}
    renumbered = {name: found for name, found in ids.items() if found is not None}
    return Shrunk(smaller, slim, values, kept, dropped, absent, renumbered)


def select(tensor: torch.Tensor, kept: tuple[Mask | None, ...]) -> torch.Tensor:
    """The part of a tensor at the kept indices of every dimension."""
    for dim, indices in enumerate(kept):
        if indices is not None:
            where = torch.from_numpy(np.flatnonzero(indices)).to(tensor.device)
            tensor = tensor.index_select(dim, where)
    return tensor


class _Keep:
    """Masks of axes, computed once each."""

    def __init__(self, masks: dict[int, Mask]) -> None:
        self.masks = masks
        self._known: dict[Axis, Mask | None] = {}

    def mask(self, axis: Axis) -> Mask | None:
        """The indices kept, or None where all are."""
        if axis not in self._known:
            loses = any(atom.id in self.masks for atom in atoms(axis))
            self._known[axis] = mask(axis, self.masks) if loses else None
        return self._known[axis]

    def value(self, kind: Type, dims: Any) -> KeptOfValue:
        """What is kept of a value, in the structure of its type."""
        if dims is None:
            return None
        if isinstance(kind, tuple):
            return tuple(self.value(k, d) for k, d in zip(kind, dims, strict=True))
        return tuple(self.mask(axis) for axis in dims)

    def count(self, size: SizeOf) -> int | None:
        """What an argument must be now, or None where its axis loses nothing."""
        kept = self.mask(size.axis)
        return None if kept is None else int(kept[size.start : size.stop].sum()) + size.offset


def _weight(weight: Weight, kept: tuple[Mask | None, ...]) -> Weight:
    kind = _shrink_type(weight.type, kept)
    return replace(weight, type=kind) if isinstance(kind, TensorType) else weight


def _shrink_type(kind: Type, kept: KeptOfValue) -> Type:
    if isinstance(kind, TensorType) and kept is not None:
        sizes = tuple(_remaining(n, m) for n, m in zip(kind.shape, kept, strict=True))
        return replace(kind, shape=sizes)
    if isinstance(kind, tuple) and kept is not None:
        return tuple(_shrink_type(k, m) for k, m in zip(kind, kept, strict=True))  # type: ignore[arg-type]
    return kind


def _remaining(length: int, kept: object) -> int:
    return int(kept.sum()) if isinstance(kept, np.ndarray) else length


def _node(node: Node, graph: Graph, axes: Axes, keep: _Keep, kept: KeptOfValue) -> Node:
    """The node with its counts, pinned defaults and type brought up to date; itself where nothing
    changes.
    """
    changed = replace(node, type=_shrink_type(node.type, kept))
    sections: dict[int, int] = {}
    for size in axes.sizes.get(node.name, ()):
        count = keep.count(size)
        if size.path[0] == "sections":
            sections[int(size.path[1])] = -1 if count is None else count
        elif count is not None:
            changed = _set(changed, size.path, count)
    for pin in axes.pins.get(node.name, ()):
        if keep.mask(pin.axis) is not None:
            changed = _set(changed, (pin.keyword,), pin.value)
    if any(count >= 0 for count in sections.values()):
        changed = _spell_out_sections(changed, [sections[i] for i in range(len(sections))])
    if node.op == "aten.squeeze.default" and changed.type != node.type:
        changed = _spell_out_squeeze(changed, graph)
    return node if changed == node else changed


def _set(node: Node, path: tuple[int | str, ...], value: Argument) -> Node:
    """The node with one argument replaced; a keyword that it lacks is added."""
    first, *rest = path
    if isinstance(first, int):
        args = list(node.args)
        args[first] = _set_inside(args[first], tuple(rest), value)
        return replace(node, args=tuple(args))
    keywords = dict(node.kwargs)
    keywords[first] = _set_inside(keywords.get(first), tuple(rest), value)
    return replace(node, kwargs=tuple(keywords.items()))


def _set_inside(argument: Argument, path: tuple[int | str, ...], value: Argument) -> Argument:
    if not path:
        # A size computed at run time from a dynamic one is left to torch.
        return -1 if isinstance(argument, Ref) else value
    if not isinstance(argument, tuple):
        return value
    position = int(path[0])
    return (
        *argument[:position],
        _set_inside(argument[position], path[1:], value),
        *argument[position + 1 :],
    )


def _spell_out_sections(node: Node, counts: list[int]) -> Node:
    """chunk and split by one number become split_with_sizes where the sections are no longer what
    they would give.
    """
    source, *rest = node.args
    kinds = node.type
    keywords = dict(node.kwargs)
    dim = keywords.get("dim", rest[1] if len(rest) > 1 else 0)
    if not isinstance(kinds, tuple) or not isinstance(dim, int):
        raise InternalError(f"`{node}` cannot be split into {counts}")
    lengths = [k.shape[dim] for k in kinds if isinstance(k, TensorType)]
    if (
        node.op in {"aten.chunk.default", "aten.unsafe_chunk.default"}
        and rest
        and isinstance(rest[0], int)
    ):
        total = sum(lengths)
        each = -(-total // rest[0])
        if lengths == [min(each, total - start) for start in range(0, total, each)]:
            return node
    return replace(
        node, op="aten.split_with_sizes.default", args=(source, tuple(lengths), dim), kwargs=()
    )


def _spell_out_squeeze(node: Node, graph: Graph) -> Node:
    """squeeze() names the dimensions of size one of the dense model: a pruned axis may have become
    one too.
    """
    source = node.args[0]
    kind = graph.types[source.name] if isinstance(source, Ref) else None
    if not isinstance(kind, TensorType):
        raise InternalError(f"`{node}` squeezes what is no tensor")
    dims = tuple(d for d, n in enumerate(kind.shape) if n == 1)
    return replace(node, op="aten.squeeze.dims", args=(source, dims), kwargs=())
