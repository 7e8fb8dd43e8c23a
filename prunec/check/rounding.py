"""Rounding: how far apart two right evaluations of a graph may lie.

A batch norm in train mode divides by the spread of what it is given; where two values of a channel
nearly agree, it magnifies rounding errors as far as they are close. How far is measured: the same
graph with every weight moved by its last bit gives results that differ by the noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunec.check import compare, double, interpreter, renumbered
from prunec.check.removed import Removed
from prunec.ir.graph import Graph, WeightRef

FACTOR = 30.0
"""Rounding errors of all operators together, in units of the noise of the weights' alone."""
MOST = 1e-7
"""No noise excuses a larger error."""


def allowed(
    graph: Graph,
    weights: Mapping[str, Tensor],
    removed: Removed,
    inputs: Sequence[Tensor],
    *,
    train: bool,
    tolerance: float,
) -> float:
    """The relative error that rounding can explain in one case, at least the tolerance."""
    with double.world():
        results = [
            interpreter.run(graph, moved, removed, inputs, train=train)
            for moved in (weights, _moved(weights))
        ]
    names = [ref.name for ref in graph.outputs if not isinstance(ref, WeightRef)]
    pairs = ([renumbered.returned(removed, n, found[n]) for found in results] for n in names)
    noise = max((compare.error(*pair) for pair in pairs), default=0.0)
    return max(tolerance, min(MOST, FACTOR * noise))


def _moved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the last bit of every element changed, up or down at random."""
    generator = torch.Generator().manual_seed(0)

    def moved(tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float64:
            return tensor
        up = torch.rand(tensor.shape, generator=generator) < 0.5
        return torch.where(up, tensor * (1 + 2**-52), tensor * (1 - 2**-52))

    return {name: moved(tensor) for name, tensor in weights.items()}
