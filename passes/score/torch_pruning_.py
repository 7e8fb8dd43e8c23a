"""Importances of the torch-pruning library, mapped onto our groups.

The library scores the output channels of a root layer, coupled as its own dependency graph sees
them. Our group finds its root by parameter name, and its channels by the indices that its axis
expression gives there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from numpy.typing import NDArray
from torch import nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.axis import members
from prunec.ir.graph import fill
from prunec.ir.group import Group, Place
from prunec.ir.plan import Ranking
from prunec.passes.batches import Batch
from prunec.passes.execute import wide
from prunec.passes.score.context import Context, producers, ranked, relative
from prunec.passes.score.objective import loss


def run(context: Context, importance: str) -> dict[str, Ranking]:
    """Rank channels by a torch-pruning importance class (``GroupMagnitudeImportance``, ...),
    relative to each group's mean.

    Raises:
        PruneError: P0410 with the library's reason, for every group that it cannot take.
    """
    if context.module is None:
        raise PruneError(_fault("the library needs the model as a module", "there is none"))
    try:
        module = copy.deepcopy(context.module).eval()
        if any(w.dtype in (torch.float16, torch.bfloat16) for w in module.parameters()):
            module = module.float()
        if importance == "GroupTaylorImportance":
            _differentiate(module, context)
        graph = tp.DependencyGraph().build_dependency(module, _example(context), verbose=False)
    except PruneError:
        raise
    except Exception as error:
        raise PruneError(_fault("torch-pruning cannot trace the model", _reason(error))) from error
    library = _Library(module, graph, getattr(tp.importance, importance)())
    found: dict[str, Ranking] = {}
    faults: list[Diagnostic] = []
    for group in context.groups:
        try:
            found[group.name] = ranked(relative(library.scores(group, producers(context, group))))
        except Exception as error:
            faults.append(_fault(f"torch-pruning cannot score `{group.name}`", _reason(error)))
    if faults:
        raise PruneError(*faults)
    return found


class _Library:
    """The library's dependency graph of a module, and one of its importances."""

    def __init__(self, module: nn.Module, graph: Any, scorer: Any) -> None:
        self.module, self.graph, self.scorer = module, graph, scorer
        self._known: dict[str, NDArray[np.float64]] = {}

    def scores(self, group: Group, places: Sequence[Place]) -> NDArray[np.float64]:
        """A group's scores, read off the first producer that the library can take as a root."""
        reason: Exception = LookupError("no layer of the group is a root that the library knows")
        for place in places:
            path, _, kind = place.weight.rpartition(".")
            if kind != "weight" or place.role != "produce":
                continue
            try:
                return np.asarray(self._layer(path)[members(place.axis, group.atom)].sum(1))
            except Exception as error:
                reason = error
        raise reason

    def _layer(self, path: str) -> NDArray[np.float64]:
        """The importance of every output channel of a layer."""
        if path not in self._known:
            layer = self.module.get_submodule(path)
            pruner = self.graph.get_pruner_of_module(layer)
            width = pruner.get_out_channels(layer)
            every = list(range(width))
            scores = self.scorer(
                self.graph.get_pruning_group(layer, pruner.prune_out_channels, idxs=every)
            )
            if scores is None or tuple(scores.shape) != (width,):
                shape = "none" if scores is None else list(scores.shape)
                raise ValueError(f"{width} channels got scores of shape {shape}")
            found = scores.detach().double().cpu().numpy()
            if not np.isfinite(found).all():
                raise ValueError("its scores are not finite")
            self._known[path] = found
        return self._known[path]


def _differentiate(module: nn.Module, context: Context) -> None:
    """Leave the training loss's gradient, summed over the batches, in the module's parameters."""
    for batch in context.batches:
        given = dict(_arguments(context, batch))
        outputs = list(_tensors(module(**given)))
        torch.autograd.backward(loss(outputs, batch))


def _example(context: Context) -> dict[str, Any]:
    """Keyword arguments of one call of the module."""
    if context.batches:
        return dict(_arguments(context, context.batches[0]))
    tensors = []
    for given in context.graph.inputs:
        dtype = getattr(torch, given.type.dtype)
        filled = torch.ones if dtype.is_floating_point else torch.zeros
        tensors.append(wide(filled(given.type.shape, dtype=dtype)))
    return dict(_arguments(context, Batch(tuple(tensors))))


def _arguments(context: Context, batch: Batch) -> Iterator[tuple[str, Any]]:
    tensors = {i.name: x for i, x in zip(context.graph.inputs, batch.inputs, strict=True)}
    for parameter in context.graph.parameters:
        yield parameter.name, fill(parameter.tree, tensors)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _fault(message: str, reason: str) -> Diagnostic:
    return Diagnostic(
        "P0410",
        message,
        notes=(reason,),
        help="freeze or deselect these channels, or use a score of prunec's own, such as `obs()`",
    )
