"""Repair: new values for the weights of a slim model, from the dense one and unlabelled data. No
training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from torch import Tensor

from prunec.ir.graph import Graph
from prunec.passes.batches import Batch
from prunec.passes.repair import batchnorm, least_squares
from prunec.passes.repair.walk import Walk
from prunec.passes.shrink import Shrunk
from prunec.spec import BatchNorm, LeastSquares, Repair


def run(
    methods: Sequence[Repair],
    graph: Graph,
    weights: Mapping[str, Tensor],
    shrunk: Shrunk,
    batches: Sequence[Batch],
) -> dict[str, Tensor]:
    """The slim model's weights, repaired by every method in one walk through the graph.

    ``graph`` and ``weights`` are the dense model. At each node the methods act in their order, on
    the slim model's values as repaired so far. Types stay; what no method touches stays to the bit.
    """
    if not methods or shrunk.graph is graph:
        return dict(shrunk.weights)
    walk = Walk(graph, weights, shrunk, batches)
    through(methods, walk)
    return walk.result()


def through(methods: Sequence[Repair], walk: Walk) -> None:
    """Walk to the end of the graph; every method acts at every node."""
    for dense in walk.nodes:
        walk.dense.compute(dense.name)
        if dense.name not in walk.shrunk.graph.node:
            walk.free(dense.name)
            continue
        node = walk.node(dense.name)
        for method in methods:
            match method:
                case LeastSquares(ridge=ridge):
                    least_squares.fit(walk, node, ridge)
                case BatchNorm():
                    batchnorm.fit(walk, node)
                case _:
                    assert_never(method)
        walk.slim.compute(node.name)
        walk.free(node.name)
