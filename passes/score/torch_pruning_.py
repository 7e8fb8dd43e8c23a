"""Importances of the torch-pruning library, mapped to our groups by parameter and output channel.

The library scores its own groups: for every group of ours, the importance is that of the library's group around the
layer that produces ours, read at the channels that the group occupies there.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.axis import members
from prunec.ir.group import Group
from prunec.ir.plan import Ranking
from prunec.passes.score.context import Context, producers, ranked, relative
from prunec.passes.score.objective import loss


def run(context: Context, importance: str) -> dict[str, Ranking]:
    """Rank by ``torch_pruning.pruner.importance``'s class of that name, with its own defaults.

    Raises:
        PruneError: P0510 where the library cannot take the model, or has no group for one of ours.
    """
    if context.module is None:
        raise PruneError(_fault("the original module is not at hand"))
    module = copy.deepcopy(context.module).eval()
    try:
        dependencies, method = _prepare(context, module, importance)
    except Exception as fault:  # the library raises anything
        raise PruneError(_fault(f"{type(fault).__name__}: {fault}")) from fault
    return {
        g.name: ranked(relative(_scores(context, g, module, dependencies, method)))
        for g in context.groups
    }


def _prepare(context: Context, module: nn.Module, importance: str) -> tuple[Any, Any]:
    import torch_pruning as tp

    example = tuple(_example(context))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dependencies = tp.DependencyGraph().build_dependency(module, example_inputs=example)
    method = getattr(tp.importance, importance)()
    if importance == "GroupTaylorImportance":
        module.zero_grad()
        for batch in context.batches:
            loss([module(*batch.inputs)], batch).backward()
    return dependencies, method


def _example(context: Context) -> list[torch.Tensor]:
    if context.batches:
        return [x[:1] for x in context.batches[0].inputs]
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(i.type.shape, generator=generator).to(getattr(torch, i.type.dtype))
        for i in context.graph.inputs
    ]


def _scores(
    context: Context, group: Group, module: nn.Module, dependencies: Any, method: Any
) -> NDArray[np.float64]:
    """Float64 [channels]: the library's importance at the channels of our first producer."""
    place = producers(context, group)[0]
    layer = module.get_submodule(place.weight.rpartition(".")[0])
    prune = dependencies.get_pruner_of_module(layer)
    if prune is None or place.dim != 0:
        raise PruneError(_fault(f"it has no group for `{group.name}`"))
    length = prune.get_out_channels(layer)
    try:
        theirs = dependencies.get_pruning_group(
            layer, prune.prune_out_channels, list(range(length))
        )
        found = method(theirs)
    except Exception as fault:  # the library raises anything
        raise PruneError(_fault(f"{group.name}: {type(fault).__name__}: {fault}")) from fault
    if found is None or len(found) != length:
        raise PruneError(_fault(f"it has no score for `{group.name}`"))
    rows = members(place.axis, group.atom).reshape(group.size, -1)
    return np.asarray(found.detach().double().numpy()[rows].mean(1), dtype=np.float64)


def _fault(reason: str) -> Diagnostic:
    return Diagnostic(
        "P0510",
        f"torch-pruning cannot score this model: {reason}",
        help="choose another score: `obs`, `taylor` and `l2` take every group that prunec finds",
    )
