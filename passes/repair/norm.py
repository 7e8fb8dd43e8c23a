"""Batch norm in evaluation: a factor and a shift per channel, with statistics that a repair may
set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prunec.ir.graph import Node, Ref, WeightRef


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """One batch norm: what it reads, the names of its weights, and epsilon."""

    node: str
    x: str
    weight: str | None
    bias: str | None
    mean: str
    var: str
    eps: float

    def factor(self, weights: Mapping[str, Tensor]) -> Tensor:
        """What each channel is multiplied by."""
        inverse = (weights[self.var] + self.eps).rsqrt()
        return inverse if self.weight is None else inverse * weights[self.weight]


def batch_norm(node: Node) -> BatchNorm | None:
    """The node as a batch norm with running statistics in evaluation, or None."""
    if not node.op.startswith("aten.batch_norm."):
        return None
    match node.args:
        case (Ref(x), weight, bias, WeightRef(mean), WeightRef(var), False, _, float(eps), *_):
            return BatchNorm(node.name, x, _name(weight), _name(bias), mean, var, eps)
        case _:
            return None


def along(vector: Tensor, like: Tensor) -> Tensor:
    """A vector over channels (dimension 1), shaped to broadcast over ``like``."""
    return vector.reshape(1, -1, *(1,) * (like.ndim - 2))


def moments(values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Exact mean and (biased) variance per channel over all batches, float64."""
    count = sum(v.numel() // v.shape[1] for v in values)
    dims = [d for d in range(values[0].ndim) if d != 1]
    mean = torch.stack([v.double().sum(dims) for v in values]).sum(0) / count
    spread = [(v.double() - along(mean, v)).square().sum(dims) for v in values]
    return mean, torch.stack(spread).sum(0) / count


def _name(argument: object) -> str | None:
    return argument.name if isinstance(argument, WeightRef) else None
