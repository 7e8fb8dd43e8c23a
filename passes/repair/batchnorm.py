"""Batch-norm re-estimation: the slim model's statistics in place of the dense one's.

Statistics are exact over the calibration set (no momentum), and corrected by what the same estimate
gives on the dense model: mean and variance of the normalised value become what they were, and a
layer that lost nothing keeps its statistics to the bit. A norm whose mean a least-squares fit has
already set stays as that fit left it: the fit minimises the error behind the norm, and another
variance would undo it.
"""

from __future__ import annotations

from prunec.ir.graph import Node
from prunec.passes.repair.norm import batch_norm, moments
from prunec.passes.repair.walk import Walk


def fit(walk: Walk, node: Node) -> None:
    """Set the running statistics of one batch norm so that its output's moments meet the
    target's.
    """
    norm = batch_norm(node)
    if (
        norm is None
        or norm.node in walk.fitted
        or not walk.owned(norm.mean, norm.var)
        or walk.settled(norm.x)
    ):
        return
    weights = walk.slim.weights
    mean, var = moments(walk.slim.values[norm.x])
    want_mean, want_var = moments([walk.target(norm.x, k) for k in walk.batches])
    old_mean, old_var = walk.original[norm.mean].double(), walk.original[norm.var].double()
    ratio = (var + norm.eps) / (want_var + norm.eps)
    new_var = (old_var + norm.eps) * ratio - norm.eps
    new_mean = mean - (want_mean - old_mean) * ratio.sqrt()
    weights[norm.var] = new_var.clamp(min=0).to(weights[norm.var].dtype)
    weights[norm.mean] = new_mean.to(weights[norm.mean].dtype)
