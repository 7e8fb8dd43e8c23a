"""Stress: weights that hide nothing.

Trained or not, weights can make an error invisible: a last layer or a norm's scale that starts at
zero switches whole branches off, and scales that are all one look the same at any index. What is
removed and what is emitted do not depend on the values of weights, so the two must agree for every
choice of them: also for a generic one.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor, nn

from prunec.check.removed import Removed, select
from prunec.ir.graph import Graph, WeightRef

STATISTICS = {"running_mean": 3, "running_var": 4}
SPREAD = 0.5  # of the noise, relative to the root mean square of the tensor


def run(graph: Graph, weights: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """The weights with noise in every parameter and every running statistic; all others as they
    are.

    A parameter gets normal noise of half its root mean square; one that is zero throughout, noise
    that keeps the size of what flows through it. Running variances stay positive.
    """
    means, variances = _statistics(graph)
    found: dict[str, Tensor] = {}
    for position, weight in enumerate(graph.weights):
        value = weights[weight.name]
        generator = torch.Generator().manual_seed(seed + position)
        found[weight.name] = value
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if weight.name in variances:
            found[weight.name] = value * (1 + SPREAD * noise.tanh().abs())
        elif weight.kind == "parameter" or weight.name in means:
            found[weight.name] = value + _amount(value) * noise
    return found


def place(slim: nn.Module, graph: Graph, weights: Mapping[str, Tensor], removed: Removed) -> None:
    """Write weights of the original, at the kept indices, into a slim module, by name."""
    own = {
        **dict(slim.named_parameters(remove_duplicate=False)),
        **dict(slim.named_buffers(remove_duplicate=False)),
    }
    with torch.no_grad():
        for weight in (w for w in graph.weights if w.name not in removed.absent):
            kept = select(weights[weight.name], removed.weights.get(weight.name))
            for name in (weight.name, *weight.ties):
                if name in own and own[name].shape == kept.shape:
                    own[name].copy_(kept)


def _amount(value: Tensor) -> float:
    size = float(value.square().mean().sqrt()) if value.numel() else 0.0
    if size > 0:
        return SPREAD * size
    fan = value[0].numel() if value.dim() > 1 else 1
    return SPREAD / sqrt(max(fan, 1))


def _statistics(graph: Graph) -> tuple[set[str], set[str]]:
    """The names of all running means and variances."""
    found: tuple[set[str], set[str]] = (set(), set())
    for node in graph.nodes:
        if node.op.startswith(("aten.batch_norm.", "aten.instance_norm.")):
            for names, position in zip(found, STATISTICS.values(), strict=True):
                argument = node.args[position] if len(node.args) > position else None
                if isinstance(argument, WeightRef):
                    names.add(argument.name)
    return found
