"""Taint: perturb one slice of an input, and see which slices of the outputs change.

It finds by experiment what a signature claims: which index of which output axis depends on which
index of an input axis. It needs no knowledge of the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Operator: TypeAlias = Callable[..., Any]
# (output, dimension of it) -> bool[size of the input axis, size of the output axis]
Dependence: TypeAlias = Mapping[tuple[int, int], Tensor]
MAGNITUDES = (0.5, 50.0, -50.0)


def dependence(
    operator: Operator, tensors: Sequence[Tensor], which: int, dim: int, seed: int = 0
) -> Dependence:
    """Which output slices change when a slice of ``tensors[which]`` along ``dim`` does.

    Each slice is perturbed by noise of several magnitudes, large ones of both signs among them, so
    that a maximum and a minimum give themselves away. Tensors are taken in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    given = [t.double() if t.is_floating_point() else t for t in tensors]
    before = outputs(operator(*given))
    size = given[which].shape[dim]
    found = {
        (k, d): torch.zeros(size, out.shape[d], dtype=torch.bool)
        for k, out in enumerate(before)
        for d in range(out.dim())
    }
    for index in range(size):
        for magnitude in MAGNITUDES:
            changed = _perturbed(given[which], dim, index, magnitude, generator)
            after = outputs(operator(*given[:which], changed, *given[which + 1 :]))
            for k, (old, new) in enumerate(zip(before, after, strict=True)):
                moved = _differs(old, new)
                for d in range(old.dim()):
                    others = [e for e in range(old.dim()) if e != d]
                    found[k, d][index] |= moved.amax(others) if others else moved
    return found


def is_linear(
    operator: Operator, tensors: Sequence[Tensor], which: int, dim: int, index: int
) -> bool:
    """Whether the outputs are affine in a slice, so that a slice of zeros contributes nothing."""
    given = [t.double() if t.is_floating_point() else t for t in tensors]

    def at(factor: float) -> list[Tensor]:
        scaled = given[which].clone()
        scaled.select(dim, index).mul_(factor)
        return outputs(operator(*given[:which], scaled, *given[which + 1 :]))

    return all(
        torch.allclose(two - zero, 2 * (one - zero), rtol=1e-9, atol=1e-9)
        for zero, one, two in zip(at(0.0), at(1.0), at(2.0), strict=True)
    )


def disagreements(found: Tensor, claimed: Tensor) -> list[tuple[int, int]]:
    """(input index, output index) wherever an output depends on more than is claimed."""
    return [(int(i), int(j)) for i, j in (found & ~claimed).nonzero()]


def outputs(value: Any) -> list[Tensor]:
    """The tensors that an operator returned, one or several."""
    return [value] if isinstance(value, Tensor) else [v for v in value if isinstance(v, Tensor)]


def _perturbed(
    tensor: Tensor, dim: int, index: int, magnitude: float, generator: torch.Generator
) -> Tensor:
    """A copy with one slice changed; integers and flags to others that occur."""
    changed = tensor.clone()
    part = changed.select(dim, index)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        low, high = tensor.min(), tensor.max()
        part.copy_(high if magnitude > 1 else low if magnitude < 0 else (part + 1) % (high + 1))
        return changed
    noise = torch.rand(part.shape, generator=generator, dtype=torch.float64) + 0.5
    part.add_(magnitude * noise)
    return changed


def _differs(old: Tensor, new: Tensor) -> Tensor:
    return (old != new) & ~(old.isnan() & new.isnan())
