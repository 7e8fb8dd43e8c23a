"""How far a model's output is from the dense model's, without a single label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prunec.ir.graph import Graph, Node, Ref, TensorType
from prunec.passes.batches import Batch
from prunec.passes.moments import linear
from prunec.passes.score.objective import classes, prediction

FORMS = frozenset(
    f"aten.{op}"
    for op in (
        "alias.default",
        "clone.default",
        "contiguous.default",
        "flatten.using_ints",
        "reshape.default",
        "slice.Tensor",
        "squeeze.dim",
        "to.dtype",
        "view.default",
        "_to_copy.default",
    )
)
"""Operators behind a classifier that leave its scores what they are."""
TINY = 1e-300


def divergence(
    dense: Sequence[Sequence[Any]],
    slim: Sequence[Sequence[Any]],
    batches: Sequence[Batch],
    scores: bool,
) -> float:
    """The loss of a slim model's outputs (per batch, all of a model's) against the dense ones.

    Where the first floating-point output holds scores of classes, the mean Kullback-Leibler
    divergence of the slim model's answer from the dense one's, in nats per answer; else the squared
    error relative to the dense output's squares. Labels are asked for their shape and type alone:
    along which dimension the classes are. Without labels the classes are along the last dimension
    where the output has two or three, and ``scores`` says that a linear map makes it.

    0 for equal outputs; NaN or infinite where outputs are.
    """
    total, weight = 0.0, 0.0
    for given, wanted, batch in zip(slim, dense, batches, strict=True):
        ours, theirs = prediction(given).double(), prediction(wanted).double()
        dim = _classes(theirs, batch.labels, scores)
        if dim is None:
            total += float((ours - theirs).square().sum())
            weight += float(theirs.square().sum())
        else:
            total += float(_kl(theirs, ours, dim).sum())
            weight += theirs.numel() / theirs.shape[dim]
    return total / max(weight, TINY)


def ends_in_scores(graph: Graph) -> bool:
    """Whether the graph's first floating-point output is what a matrix gives."""
    for ref in graph.outputs:
        kind = graph.types[ref.name]
        if not isinstance(kind, TensorType) or "float" not in kind.dtype:
            continue
        node = graph.node.get(ref.name)
        while node is not None and node.op in FORMS:
            node = _source(graph, node)
        found = None if node is None else linear(graph, node)
        return found is not None and not found.kernel
    return False


def _source(graph: Graph, node: Node) -> Node | None:
    first = node.args[0] if node.args else None
    return graph.node.get(first.name) if isinstance(first, Ref) else None


def _classes(output: Tensor, labels: Tensor | None, scores: bool) -> int | None:
    if labels is not None:
        return classes(output, labels)
    likely = scores and output.ndim in (2, 3) and output.shape[-1] > 1
    return output.ndim - 1 if likely else None


def _kl(wanted: Tensor, given: Tensor, dim: int) -> Tensor:
    """KL(softmax(wanted) || softmax(given)) along a dimension, which goes."""
    p, q = torch.log_softmax(wanted, dim), torch.log_softmax(given, dim)
    return (p.exp() * (p - q)).sum(dim)
