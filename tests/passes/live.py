"""What is really alive while a graph runs: torch's own storages, by weak references."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prunec.ir.graph import Graph, Node
from prunec.passes import execute


def alive(graph: Graph, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> dict[str, int]:
    """Bytes of all storages but the weights', at every node of a graph that runs on one sample."""
    given = [x[:1].clone() for x in inputs]
    fixed = {w.untyped_storage()._cdata for w in weights.values()}
    seen = [weakref.ref(x) for x in given]
    found: dict[str, int] = {}

    def observe(node: Node, args: tuple[Any, ...], value: Any) -> None:
        seen.extend(weakref.ref(t) for t in _tensors(value))
        seen[:] = [r for r in seen if r() is not None]
        storages = (t.untyped_storage() for r in seen if (t := r()) is not None)
        sizes = {s._cdata: s.nbytes() for s in storages if s._cdata not in fixed}
        found[node.name] = sum(sizes.values())

    with torch.no_grad():
        execute.run(graph, weights, given, observe)
    return found


def peak(graph: Graph, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> int:
    """The most bytes that are alive at once."""
    return max(alive(graph, weights, inputs).values())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
