"""A module on the whole road, for the tests of the proof."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from prunec import emit, trace
from prunec.check import Removed, twin
from prunec.ir.graph import Graph
from prunec.ir.group import Group
from prunec.ir.plan import Plan
from prunec.passes import axes, group, shrink


@dataclass(frozen=True)
class Compiled:
    """The original as traced, what is removed, and the slim module."""

    graph: Graph
    weights: Mapping[str, Tensor]
    removed: Removed
    slim: nn.Module
    source: str
    stored: Mapping[str, Tensor]
    example: tuple[Tensor, ...]
    groups: tuple[Group, ...]

    def check(self, slim: nn.Module | None = None, **settings: Any) -> twin.Result:
        """The twin's verdict on the slim module, or on another in its place."""
        settings.setdefault("batches", (1, 2))
        return twin.run(
            self.graph, self.weights, self.removed, slim or self.slim, self.example, **settings
        )

    def without(self, *names: str) -> Compiled:
        """The same with claims about these values withdrawn."""
        values = {k: v for k, v in self.removed.values.items() if k not in names}
        return replace(self, removed=replace(self.removed, values=values))


def compile(
    module: nn.Module,
    *args: Any,
    keep: float = 0.5,
    seed: int = 0,
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
    **kwargs: Any,
) -> Compiled:
    """Remove random channels from every group: at least one of each, and at least two stay of those
    that something mixes.
    """
    module.eval()
    traced = trace.run(module, args, kwargs, dynamic=dynamic)
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    plan = random_plan(groups, keep, seed)
    shrunk = shrink.run(traced.graph, traced.weights, solved, groups, plan)
    source = emit.run(shrunk.graph, class_name="Slim", header="a test", weights=shrunk.weights)
    return Compiled(
        traced.graph,
        traced.weights,
        Removed(shrunk.values, shrunk.kept),
        emit.load(source, shrunk.weights, "Slim"),
        source,
        emit.stored(shrunk.graph, shrunk.weights),
        trace.tensors(module, args, kwargs),
        groups,
    )


def random_plan(groups: tuple[Group, ...], keep: float, seed: int) -> Plan:
    """A random share of every group."""
    drawn = random.Random(seed)
    found = {}
    for each in groups:
        least = max(each.least, min(each.size, 2 if each.mixing else 1))
        width = max(least, int(each.size * keep))
        found[each.name] = tuple(sorted(drawn.sample(range(each.size), width)))
    return Plan(found)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics of which no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise.abs() + 0.5 if name.endswith("var") else noise)
    return module.eval()
