"""Weights: every tensor that a module holds, once, under its first name; others are ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from prunec.ir.graph import Weight
from prunec.trace.symbols import Symbols


@dataclass(frozen=True)
class Weights:
    """The weights of a module. ``canonical`` maps each of a tensor's names to the first."""

    entries: tuple[Weight, ...]
    tensors: Mapping[str, torch.Tensor]
    canonical: Mapping[str, str]


def run(module: nn.Module) -> Weights:
    """Parameters and buffers in state-dict order; the tensors are the module's own, detached."""
    first: dict[int, str] = {}
    names: dict[str, list[str]] = {}
    owned: dict[str, tuple[torch.Tensor, str, bool]] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        hidden = owner._non_persistent_buffers_set
        for kind, local in (("parameter", owner._parameters), ("buffer", owner._buffers)):
            for key, tensor in local.items():
                if tensor is None:
                    continue
                name = f"{prefix}.{key}" if prefix else key
                canonical = first.setdefault(id(tensor), name)
                names.setdefault(canonical, []).append(name)
                owned.setdefault(canonical, (tensor, kind, key not in hidden))
    entries = tuple(
        _weight(name, *owned[name], ties=tuple(others[1:])) for name, others in names.items()
    )
    return Weights(
        entries,
        {name: tensor.detach() for name, (tensor, _, _) in owned.items()},
        {other: name for name, others in names.items() for other in others},
    )


def constant(name: str, tensor: torch.Tensor) -> Weight:
    """The entry of a tensor that the model's code holds outside of the state dict."""
    return _weight(name, tensor, "constant", False, ())


def _weight(
    name: str, tensor: torch.Tensor, kind: str, persistent: bool, ties: tuple[str, ...]
) -> Weight:
    type_ = Symbols().type(tensor)
    return Weight(name, type_, kind, persistent, tensor.requires_grad, ties)  # type: ignore[arg-type]
