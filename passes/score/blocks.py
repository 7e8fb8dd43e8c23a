"""Scores of whole residual blocks and layers, each in the units that its method has for channels.

A block stays or goes: its ranking has one step, whose loss is what a method says of all that goes
with the branch. A layer likewise, with all of its branches at once; magnitudes of these add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Node
from prunec.ir.group import Branch, Group, Kind
from prunec.ir.plan import Ranking
from prunec.passes import drop
from prunec.passes.execute import Value
from prunec.passes.execute import run as execute
from prunec.passes.score.context import Context
from prunec.passes.score.objective import loss, prediction
from prunec.passes.score.sense import live, samples
from prunec.spec import L1, L2, Obs, Random, Score, Taylor, TorchPruning


def run(method: Score, context: Context) -> dict[str, Ranking]:
    """The ranking of every block or layer of the context, by its name.

    Raises:
        PruneError: P0406, P0407 (see `objective.loss`), P0410 for torch-pruning.
    """
    match method:
        case Random(seed=seed):
            losses = {g.name: _draw(seed, g) * _rows(context, g) for g in context.groups}
        case L1():
            losses = _magnitude(context, lambda weight: weight.abs())
        case L2():
            losses = _magnitude(context, lambda weight: weight.square())
        case Taylor(batches=count):
            losses = _taylor(replace(context, batches=context.batches[:count]))
        case Obs(batches=count):
            losses = _measured(replace(context, batches=context.batches[:count]))
        case TorchPruning():
            raise PruneError(_channels_only(context.groups[0].kind))
        case _:
            assert_never(method)
    order = np.zeros(1, dtype=np.int64)
    return {name: Ranking(order, np.array([0.0, found])) for name, found in losses.items()}


def _draw(seed: int, group: Group) -> float:
    """A random number from 0 to 2, from the seed and the block's name alone."""
    digest = sha256(f"{seed}:{group.name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47


def _magnitude(context: Context, power: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """The mean power of the entries of a branch's matrices, relative to the mean over all branches.

    As a channel of mean norm loses one, a branch of mean norm loses as many as it has channels.
    """
    means = {g.name: [_mean(context, b, power) for b in g.branches] for g in context.groups}
    whole = float(np.mean([mean for found in means.values() for mean in found]))
    scale = 1 / whole if whole > 0 else 1.0
    return {
        g.name: sum(
            mean * scale * _channels(context, branch)
            for mean, branch in zip(means[g.name], g.branches, strict=True)
        )
        for g in context.groups
    }


def _mean(context: Context, branch: Branch, power: Callable[[Tensor], Tensor]) -> float:
    powers = [power(w.double()) for w in _matrices(context, branch)]
    return sum(float(p.sum()) for p in powers) / max(1, sum(p.numel() for p in powers))


def _rows(context: Context, group: Group) -> int:
    return sum(_channels(context, branch) for branch in group.branches)


def _channels(context: Context, branch: Branch) -> int:
    """How many channels the matrices of a branch make; one if it has none."""
    return sum(len(w) for w in _matrices(context, branch) if w.ndim > 1) or 1


def _matrices(context: Context, branch: Branch) -> list[Tensor]:
    """The matrices and filters that a branch reads; all of its weights where it has none."""
    nodes = (context.graph.node[name] for name in branch.exclusive)
    names = dict.fromkeys(r.name for node in nodes for r in node.weight_refs())
    found = [w.detach() for name in names if (w := context.weights[name]).is_floating_point()]
    return [w for w in found if w.ndim > 1] or found


def _taylor(context: Context) -> dict[str, float]:
    """The mean over the batches of the squared first-order change of the loss: (dL/dz)^2 of a gate
    z on the outputs of the branches, which is the sum of gradient times output.
    """
    outputs = {b.value.name for g in context.groups for b in g.branches}
    total = {g.name: 0.0 for g in context.groups}
    for batch in context.batches:
        seen: dict[str, Tensor] = {}

        def keep(node: Node, args: tuple[Value, ...], value: Value) -> None:
            if node.name in outputs:
                seen[node.name] = value  # noqa: B023

        value = loss(execute(context.graph, live(context), batch.inputs, keep), batch)
        found = torch.autograd.grad(value, list(seen.values()), allow_unused=True)
        change = {
            name: float((gradient.double() * output.detach().double()).sum())
            for (name, output), gradient in zip(seen.items(), found, strict=True)
            if gradient is not None
        }
        for group in context.groups:
            whole = sum(change.get(b.value.name, 0.0) for b in group.branches)
            total[group.name] += whole**2 / len(context.batches)
    return total


def _measured(context: Context) -> dict[str, float]:
    """Half the mean squared change of the model's output per sample when the branches are gone."""
    smaller = {g.name: drop.run(context.graph, g.branches) for g in context.groups}
    total = {g.name: 0.0 for g in context.groups}
    with torch.no_grad():
        for batch in context.batches:
            whole = _output(context, batch.inputs)
            for name, graph in smaller.items():
                change = _output(replace(context, graph=graph), batch.inputs) - whole
                total[name] += 0.5 * float(change.square().sum())
    return {name: value / samples(context) for name, value in total.items()}


def _output(context: Context, inputs: tuple[Tensor, ...]) -> Tensor:
    return prediction(execute(context.graph, context.weights, inputs)).double()


def _channels_only(kind: Kind) -> Diagnostic:
    return Diagnostic(
        "P0410",
        f"torch-pruning cannot score whole {kind}: its importances are of channels",
        help=f"give `prune {kind}` one of the scores `obs`, `taylor`, `l2`, `l1` or `random`",
    )
