"""Repair: new values for the weights of a slim model, from the dense one and unlabelled data. No training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from prunec.ir.graph import Graph, Node
from prunec.passes.batches import Batch
from prunec.passes.repair import batchnorm, least_squares
from prunec.passes.repair.walk import Walk
from prunec.passes.shrink import Shrunk

Step: TypeAlias = Callable[[Walk, Node], None]


def walk(
    steps: Sequence[Step],
    graph: Graph,
    weights: Mapping[str, Tensor],
    shrunk: Shrunk,
    batches: Sequence[Batch],
) -> dict[str, Tensor]:
    """Apply the steps at every node, in graph order, before the node is computed on the slim model."""
    walk = Walk(graph, weights, shrunk, batches)
    for node in walk.nodes:
        walk.dense.compute(node.name)
        for step in steps:
            step(walk, walk.node(node.name))
        walk.slim.compute(node.name)
        walk.dense.free(node.name)
        walk.slim.free(node.name)
    return {n: w.to(shrunk.weights[n].dtype) for n, w in walk.slim.weights.items()}
