"""First-order Taylor importance in gate form (Molchanov et al., CVPR 2019).

Each channel gets a gate z = 1 that multiplies it where it is read; its importance is (dL/dz)^2,
squared per batch. A gate on the columns of a linear map's weight is a gate on its input, so dL/dz
is the sum of w * dL/dw over the channel's columns in every consumer: no hooks, and what several
layers read shares one gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.ir.group import Group, Place
from prunec.ir.plan import Ranking
from prunec.passes.batches import Batch
from prunec.passes.execute import run as execute
from prunec.passes.execute import wide
from prunec.passes.score.context import Context, consumers, producers, ranked, slices
from prunec.passes.score.objective import loss


def run(context: Context) -> dict[str, Ranking]:
    """Rank channels by the mean over the batches of the squared gate gradient.

    Raises:
        PruneError: P0406, P0407 (see `objective.loss`).
    """
    total = {g.name: np.zeros(g.size) for g in context.groups}
    for batch in context.batches:
        for name, gradient in gates(context, batch).items():
            total[name] += gradient**2 / len(context.batches)
    return {name: ranked(scores) for name, scores in total.items()}


def gates(
    context: Context, batch: Batch, objective: Callable[[Sequence[Any], Batch], Tensor] = loss
) -> dict[str, NDArray[np.float64]]:
    """dL/dz of every channel of every group on one batch; ``objective`` is L of the outputs."""
    names = sorted({p.weight for g in context.groups for p, _ in _sites(context, g)})
    weights = dict(context.weights)
    leaves = {n: wide(weights[n].detach()).clone().requires_grad_() for n in names}
    value = objective(execute(context.graph, weights | leaves, batch.inputs), batch)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    gradients = {
        n: torch.zeros_like(w) if g is None else g
        for (n, w), g in zip(leaves.items(), found, strict=True)
    }
    return {g.name: _gate(context, g, leaves, gradients) for g in context.groups}


def _gate(
    context: Context, group: Group, leaves: dict[str, Tensor], gradients: dict[str, Tensor]
) -> NDArray[np.float64]:
    result = np.zeros(group.size)
    for place, share in _sites(context, group):
        flow = leaves[place.weight].detach().double() * gradients[place.weight].double()
        result += share * slices(place, group, flow).sum(1).cpu().numpy()
    return result


def _sites(context: Context, group: Group) -> Sequence[tuple[Place, float]]:
    """Where the gate sits, and how much each site counts.

    A group that only activations contract (the head size shared by queries and keys) has no
    consumer with a weight: its gate sits on the producers, whose derivatives each equal the gate's,
    so they are averaged.
    """
    read = consumers(context, group)
    if read:
        return [(place, 1.0) for place in read]
    made = producers(context, group)
    count = sum(context.weights[p.weight].ndim > 1 for p in made) or 1
    biases = [p for p in group.places if p.role == "produce" and p not in made]
    return [(place, 1 / count) for place in (*made, *biases)]
