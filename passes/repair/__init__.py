"""Repair: new values for the weights of a slim model, from the dense one and unlabelled data. No training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, assert_never

from torch import Tensor

from prunec.ir.graph import Graph, Node
from prunec.passes.batches import Batch
from prunec.passes.repair import batchnorm, least_squares
from prunec.passes.repair.walk import Walk
from prunec.passes.shrink import Shrunk
from prunec.spec import BatchNorm, LeastSquares, Repair

Step: TypeAlias = Callable[[Walk, Node], None]


def run(
    methods: Sequence[Repair],
    graph: Graph,
    weights: Mapping[str, Tensor],
    shrunk: Shrunk,
    batches: Sequence[Batch],
) -> dict[str, Tensor]:
    """The slim weights after the repairs that a spec names; as shrunk where it names none."""
    if not methods or not batches or shrunk.graph is graph:
        return dict(shrunk.weights)
    return walk([_step(m) for m in methods], graph, weights, shrunk, batches)


def _step(method: Repair) -> Step:
    match method:
        case LeastSquares():
            return partial(least_squares.fit, ridge=method.ridge)
        case BatchNorm():
            return batchnorm.fit
    assert_never(method)


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
