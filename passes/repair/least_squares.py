"""Least squares: every linear map is re-fitted to give, from what the slim model feeds it, what the
dense one gave.

Ridge regression per map, in graph order, so that each fit sees the errors of those before it (the
asymmetric form of He et al., ICCV 2017): minimise sum |W x + b - t|^2 + r |W - W_0|^2 with x the
slim model's activations, t the target, W_0 the weight as shrunk and r relative to the mean diagonal
of the input moments. Moments are summed over the whole calibration set and solved in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunec.ir.graph import Node
from prunec.passes.moments import Linear_, Moments, accumulate, damp, linear
from prunec.passes.repair.walk import Walk


def fit(walk: Walk, node: Node, ridge: float) -> None:
    """Re-fit the weight, and the bias, of one node; nothing where it already meets its target or
    would not improve.

    A map with neither bias nor batch norm behind it is fitted without intercept; with a batch norm
    alone, the intercept goes into its running mean.
    """
    graph = walk.shrunk.graph
    map = linear(graph, node)
    if map is None or not walk.owned(map.weight) or walk.settled(map.node):
        return
    norm = walk.norm(map.node) if map.bias is None else None
    shifts = norm is not None or (map.bias is not None and walk.owned(map.bias))
    total = sum_moments(walk, map)
    seen = total.centred() if shifts else total
    weights = walk.slim.weights
    old = map.matrix(weights[map.weight])
    new = solve(seen, old, ridge)
    if not bool(error(seen, new) < error(seen, old)):
        return
    weights[map.weight] = map.weight_like(new, weights[map.weight])
    if shifts:
        assert total.y is not None
        bias = ((total.y - torch.einsum("god,gd->go", new, total.x)) / total.n).reshape(-1)
        if map.bias is not None:
            weights[map.bias] = bias.to(weights[map.bias].dtype)
        elif norm is not None:
            weights[norm.mean] = (weights[norm.mean].double() - bias).to(weights[norm.mean].dtype)
            walk.fitted.add(norm.node)


def sum_moments(walk: Walk, map: Linear_) -> Moments:
    """Moments of the slim model's input against the target, over the calibration set."""
    parts = (
        accumulate(map, walk.slim.values[map.x][k], walk.target(map.node, k)) for k in walk.batches
    )
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def solve(seen: Moments, old: Tensor, ridge: float) -> Tensor:
    """The ridge solution ``[G, o, d]``, drawn towards ``old``."""
    assert seen.xy is not None
    _, factor = damp(seen.xx, ridge)
    return old + torch.cholesky_solve(seen.xy - seen.xx @ old.mT, factor).mT


def error(seen: Moments, matrix: Tensor) -> Tensor:
    """Summed squared error of a weight, over all of its outputs."""
    assert seen.xy is not None
    assert seen.yy is not None
    explained = (matrix * (2 * seen.xy.mT - matrix @ seen.xx)).sum()
    return seen.yy.sum() - explained
