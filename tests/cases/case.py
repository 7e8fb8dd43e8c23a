"""A case: a small model that other tools get wrong, and what of it must be pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

# A dimension of a weight, by the weight's name: ``("conv.weight", 0)``.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Case:
    """A model by its class, an example of its inputs, and what a compiler must find in it.

    ``together``: places that must lie in one group, which must lose channels (a place may hold
    other groups too). ``frozen``: places that must not lose channels, with a part of the reason;
    """

    build: Callable[[], nn.Module]
    args: tuple[Any, ...]
    together: tuple[Place, ...] = ()
    frozen: Mapping[Place, str] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    def module(self) -> nn.Module:
        """The model in eval mode: the same weights and statistics every time, none 0 or 1."""
        torch.manual_seed(0)
        module = self.build()
        with torch.no_grad():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if tensor.is_floating_point() and tensor.dim() == 1:
                    drawn = torch.randn_like(tensor) / 2
                    scales = name.endswith(("weight", "running_var"))
                    tensor.copy_(drawn.abs() + 0.5 if scales else drawn)
        return module.to(self.dtype).eval()


def image(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor]:
    """Two images of 3 channels, 8 x 8 pixels."""
    return (_normal(shape or (2, 3, 8, 8)).to(dtype),)


def sequence(width: int = 12, length: int = 7) -> tuple[Tensor]:
    """Two sequences of vectors, batch first."""
    return (_normal((2, length, width)),)


def tokens(length: int = 7) -> tuple[Tensor]:
    """Two sequences of tokens out of 11."""
    return (torch.randint(11, (2, length), generator=torch.Generator().manual_seed(1)),)


def _normal(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Conv(nn.Module):
    """A 3x3 convolution with a batch norm and an activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Imaged(nn.Module):
    """A stem, a body of the subclass, a pooled head of 5 classes.

    A subclass gives the body's modules and ``body(x)``, ``[N, 16, 8, 8] -> [N, out, h, w]``.
    """

    def __init__(self, out: int = 16, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Linear(out, 5)

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))
