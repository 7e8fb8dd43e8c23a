"""Positions: an index by a constant run of positions (``x[:, [-2]]``) is a slice.

A slice says which channels it takes, where an index tensor may take any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from prunec.ir.graph import Argument, Node, WeightRef


def run(nodes: Iterable[Node], constants: Mapping[str, torch.Tensor]) -> tuple[Node, ...]:
    """The nodes, with slices for what such indices pick; ``constants`` never change."""
    return tuple(_sliced(node, constants) for node in nodes)


def _sliced(node: Node, constants: Mapping[str, torch.Tensor]) -> Node:
    if node.op != "aten.index.Tensor":
        return node
    source, indices = node.args[:2]
    given = [(d, i) for d, i in enumerate(indices if isinstance(indices, tuple) else ()) if i]
    found = _bounds(given[0][1], constants) if len(given) == 1 else None
    if found is None:
        return node
    return replace(node, op="aten.slice.Tensor", args=(source, given[0][0], *found))


def _bounds(
    index: Argument, constants: Mapping[str, torch.Tensor]
) -> tuple[int, int | None] | None:
    """Start and end of a constant list of consecutive positions; None for any other index."""
    value = constants.get(index.name) if isinstance(index, WeightRef) else None
    if value is None or value.dtype != torch.int64 or value.dim() != 1 or value.is_meta:
        return None
    first, last = int(value[0]), int(value[-1])
    if not torch.equal(value, torch.arange(first, first + len(value), device=value.device)):
        return None
    return (first, None if last == -1 else last + 1) if (first < 0) == (last < 0) else None
