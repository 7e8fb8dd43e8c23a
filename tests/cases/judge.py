"""How "equal" and "wrong" are decided of a model that another tool made smaller.

What the tool removed is read off its model (`peer.prune`): for every tensor of the state
dict, which indices of the original stay. A smaller model is **equal** if one of two references
returns, in float64, what it returns (relative error 1e-6); else it is **wrong**. The references:

- *zeroed*: the original with zeros at all that is removed of its tensors. A norm (layer, group,
  RMS) is computed on the channels that its weight keeps. This reference needs no analysis.
- *twin*: where what stays is a choice of channels of prunec's groups, the twin of `prunec.check`,
  which knows the kept slice of every operator (a mean over channels, standardised weights).

The default scale of attention depends on the head size, and changes where that is pruned. A model
that is equal but for this is told apart from a wrong one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from prunec import trace
from prunec.check import Removed, twin
from prunec.ir.axis import Mask, mask, members
from prunec.ir.plan import Plan
from prunec.passes import shrink
from prunec.prepare import Subject
from prunec.understand import Understood
from prunec.understand import run as understand
from tests.cases.case import Case

Verdict = Literal["equal", "equal but for the scale of attention", "wrong"]
Kept = Mapping[str, tuple[Mask, ...]]
"""For every tensor of the state dict, per dimension, which indices stay."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Smaller:
    """A smaller model, and what it keeps of the original."""

    module: nn.Module
    kept: Kept


def verdict(case: Case, smaller: Smaller) -> Verdict:
    """Is the model the original without what it lost?

    Raises:
        Exception: the smaller model does not run.
    """
    dense, slim = case.module().double(), copy.deepcopy(smaller.module).double()
    args, kwargs = pytree.tree_map(_wide, (case.args, dict(case.kwargs)))
    sizes = _HeadSizes()
    with torch.no_grad():
        got = leaves(slim(*args, **kwargs))
        with sizes:
            dense(*args, **kwargs)
        with _slow():
            want = leaves(zeroed(dense, slim, smaller.kept)(*args, **kwargs))
        if _same(got, want) or _twin(case, smaller):
            return "equal"
        with _Scaled(sizes.found):
            rescaled = leaves(slim(*args, **kwargs))
    return "equal but for the scale of attention" if _same(rescaled, want) else "wrong"


def zeroed(dense: nn.Module, slim: nn.Module, kept: Kept) -> nn.Module:
    """The original with zeros at what is removed, its norms on the kept slice."""
    module = _untied(dense)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            for dim, stays in enumerate(kept.get(name, ())):
                tensor.index_fill_(dim, torch.from_numpy(np.flatnonzero(~stays)), 0)
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
            stays = kept[f"{path}.weight"][0]
            dim = 1 if isinstance(layer, nn.GroupNorm) else -1
            parent, _, name = path.rpartition(".")
            norm = _Sliced(slim.get_submodule(path), torch.from_numpy(np.flatnonzero(stays)), dim)
            setattr(module.get_submodule(parent), name, norm)
    return module


def _untied(module: nn.Module) -> nn.Module:
    """A copy in which no two names are one tensor: a tool may prune them differently."""
    module = copy.deepcopy(module)
    for layer in module.modules():
        for name, tensor in layer.named_parameters(recurse=False):
            layer.register_parameter(name, nn.Parameter(tensor.detach().clone()))
    return module


def ties(module: nn.Module) -> set[tuple[str, ...]]:
    """The names of every tensor that has several."""
    names: dict[int, list[str]] = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
    return {tuple(found) for found in names.values() if len(found) > 1}


class _Sliced(nn.Module):
    """A norm of the channels that are kept, zero elsewhere."""

    def __init__(self, norm: nn.Module, kept: Tensor, dim: int) -> None:
        super().__init__()
        self.norm, self.kept, self.dim = norm, kept, dim

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.index_select(self.dim, self.kept))
        return torch.zeros_like(x).index_copy(self.dim, self.kept, y)


@contextmanager
def _slow() -> Iterator[None]:
    """Without the fused kernels of nn.TransformerEncoderLayer, which read its norms' weights."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _HeadSizes(TorchFunctionMode):
    """Notes the head size of every attention."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.found.append(args[0].shape[-1])
        return func(*args, **(kwargs or {}))


class _Scaled(TorchFunctionMode):
    """Gives every attention the scale of the noted head size."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = iter(sizes)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            kwargs.setdefault("scale", next(self.sizes) ** -0.5)
        return func(*args, **kwargs)


def _twin(case: Case, smaller: Smaller) -> bool:
    """Whether the model is the masked twin for a choice of channels of prunec's groups."""
    model = understand(Subject(case.module(), case.args, case.kwargs, None))
    plan = _plan(model, smaller.kept)
    if plan is None:
        return False
    graph, weights = model.traced.graph, model.traced.weights
    shrunk = shrink.run(graph, weights, model.axes, model.groups, plan)
    example = trace.tensors(case.module(), case.args, case.kwargs)
    removed = Removed(shrunk.values, shrunk.kept)
    question = twin.Question(graph, weights, removed, smaller.module, example, TOLERANCE)
    return twin.compared(question, (2,), ("eval",)).equal


def _plan(model: Understood, kept: Kept) -> Plan | None:
    """The channels of every group that stay, if that is all that is removed; None if it is not."""
    keep: dict[str, tuple[int, ...]] = {}
    for group in model.groups:
        place = group.places[0]
        if place.weight not in kept:
            return None
        stays = kept[place.weight][place.dim]
        alive = stays[members(place.axis, group.atom)].any(1)
        if not alive.all():
            keep[group.name] = tuple(map(int, np.flatnonzero(alive)))
    plan = Plan(keep)
    masks = plan.masks(model.groups)
    for name, axes in model.axes.weights.items():
        for dim, axis in enumerate(axes):
            if name in kept and not np.array_equal(mask(axis, masks), kept[name][dim]):
                return None
    return plan


def _same(got: list[Tensor], want: list[Tensor]) -> bool:
    return len(got) == len(want) and all(
        a.shape == b.shape and _error(a, b) <= TOLERANCE for a, b in zip(got, want, strict=True)
    )


def _error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def leaves(value: object) -> list[Tensor]:
    """The tensors of an output: a tensor, or a list, dict or dataclass of them."""
    return list(_tensors(value))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors(list(vars(value).values()))
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _wide(value: object) -> object:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
