"""What torch-pruning makes of a case: half of every width, random channels.

Which channels those are is read off copies whose tensors hold, instead of weights, their own
indices along one dimension; the random importance takes the same channels of every copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from torch import Tensor, nn

from prunec.ir.axis import Mask
from tests.cases import judge
from tests.cases.case import Case, Place
from tests.cases.judge import Kept, Smaller


@dataclass(frozen=True)
class Theirs:
    """The outcome in words, and the share of parameters removed where there is a smaller model."""

    outcome: str
    removed: float = 0.0

    def __str__(self) -> str:
        return self.outcome if not self.removed else f"{self.outcome}, {self.removed:.0%}"


def run(case: Case) -> Theirs:
    """Prune and judge a case; nothing is raised, whatever the library does."""
    try:
        smaller = prune(case)
    except Exception as error:  # what it raises is the result
        return Theirs(f"crash: {type(error).__name__}")
    before, after = _parameters(case.module()), _parameters(smaller.module)
    if after >= before:
        return Theirs("nothing pruned")
    removed = 1 - after / before
    try:
        found: str = judge.verdict(case, smaller)
    except Exception as error:  # likewise
        return Theirs(f"does not run: {type(error).__name__}", removed)
    if judge.ties(smaller.module) != judge.ties(case.module()):
        found += ", but untied"
    if any(_whole(smaller.kept, place) for place in case.together):
        found += ", but the group is whole"
    return Theirs(found, removed)


def prune(case: Case) -> Smaller:
    """The smaller model with the weights of the original, and what it keeps of them.

    Raises:
        Exception: whatever the library raises.
    """
    dense = case.module()
    module = _pruned(case, lambda tensor: tensor)
    state = module.state_dict()
    marks = [
        _pruned(case, lambda t, d=dim: _indices(t, d)).state_dict()
        for dim in range(max(t.dim() for t in state.values()))
    ]
    kept = {
        name: tuple(_mask(marks[dim].get(name), tensor, dim) for dim in range(tensor.dim()))
        for name, tensor in dense.state_dict().items()
        if tensor.is_floating_point()
    }
    return Smaller(module, kept)


def _pruned(case: Case, content: Callable[[Tensor], Tensor]) -> nn.Module:
    module = case.module()
    with torch.no_grad():
        for tensor in {id(t): t for t in module.state_dict().values()}.values():
            if tensor.is_floating_point():
                tensor.copy_(content(tensor))
    heads = {module.get_submodule(path): n for path, n in case.heads.items()}
    outputs = [layer for name in ("head", "box") if (layer := getattr(module, name, None))]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tp.pruner.MetaPruner(
            module,
            case.args,
            tp.importance.RandomImportance(),
            pruning_ratio=0.5,
            ignored_layers=outputs,
            num_heads=heads,
            forward_fn=lambda model, inputs: model(*inputs, **case.kwargs),
            output_transform=judge.leaves,
        ).step()
    return module


def _indices(tensor: Tensor, dim: int) -> Tensor:
    if dim >= tensor.dim():
        return tensor
    shape = [1] * tensor.dim()
    shape[dim] = -1
    return torch.arange(tensor.shape[dim], dtype=tensor.dtype).view(shape).expand_as(tensor)


def _mask(marks: Tensor | None, dense: Tensor, dim: int) -> Mask:
    """The indices along a dimension that are left in a tensor that held them."""
    stays = np.ones(dense.shape[dim], dtype=bool)
    if marks is not None and marks.dim() == dense.dim():
        left = marks.double().round().unique().long().numpy()
        stays[:] = False
        stays[left[(left >= 0) & (left < len(stays))]] = True
    return stays


def _whole(kept: Kept, place: Place) -> bool:
    name, dim = place
    return name not in kept or bool(kept[name][dim].all())


def _parameters(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())
