"""Weights: tied, shared, free, normed, and of few bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from tests.cases.case import Case, Conv, Imaged, image, sequence, tokens


class TiedEmbedding(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 32)
        self.up, self.down = nn.Linear(32, 48), nn.Linear(48, 32)
        self.head = nn.Linear(32, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.down(torch.relu(self.up(x))))


class Padded(nn.Module):
    """An embedding with a padding token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 32, padding_idx=0)
        self.first, self.head = nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(self.embed(x))))


class Vector(Imaged):
    """A parameter ``(C,)`` times channels-last values (layer scale)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gamma = nn.Conv2d(16, 24, 3), nn.Parameter(torch.ones(24))
        self.second = nn.Conv2d(24, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        x = (self.first(x).permute(0, 2, 3, 1) * self.gamma).permute(0, 3, 1, 2)
        return self.second(torch.relu(x))


class Image(Imaged):
    """A parameter ``(C, 1, 1)`` times an image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gamma = nn.Conv2d(16, 24, 3), nn.Parameter(torch.randn(24, 1, 1))
        self.second = nn.Conv2d(24, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x) * self.gamma))


class Positions(nn.Module):
    """A parameter ``(1, T, C)`` added to tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 32)
        self.position = nn.Parameter(torch.randn(1, 7, 32))
        self.first, self.head = nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(self.embed(x) + self.position)))


class SharedWeight(Imaged):
    """One weight in two layers, each with its own bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3)
        self.second.weight = self.first.weight
        self.out = nn.Conv2d(16, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.second(torch.relu(self.first(x)))))


class CalledTwice(Imaged):
    """One module, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.out = Conv(16, 16), nn.Conv2d(16, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.out(self.block(self.block(x)))


class Plain(Imaged):
    """Three convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Conv(16, 32), Conv(32, 16)

    def body(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Normed(Imaged):
    """Two convolutions whose weights a function of torch reparametrises."""

    def __init__(self, norm: object) -> None:
        super().__init__()
        self.first = norm(nn.Conv2d(16, 32, 3))  # type: ignore[operator]
        self.second = norm(nn.Conv2d(32, 16, 3))  # type: ignore[operator]

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))


class StdConv(nn.Conv2d):
    """Weight standardisation, as timm has it for BiT."""

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        variance = self.weight.var((1, 2, 3), keepdim=True, unbiased=False)
        weight = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Standardised(Imaged):
    """Convolutions with standardised weights, and group norms."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = StdConv(16, 32, 3), nn.GroupNorm(4, 32)
        self.second = StdConv(32, 16, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.norm(self.first(x))))


class Bilinear(nn.Module):
    """nn.Bilinear of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(12, 16), nn.Linear(12, 24)
        self.bilinear = nn.Bilinear(16, 24, 20)
        self.head = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.bilinear(self.left(x).relu(), self.right(x).relu())))


PLAIN = (("first.weight", 0), ("second.weight", 1))
CONVS = (("first.conv.weight", 0), ("first.norm.weight", 0), ("second.conv.weight", 1))
NEW = "parametrizations.weight.original"

CASES = {
    "embedding tied to the head": Case(
        TiedEmbedding, tokens(), (("embed.weight", 1), ("up.weight", 1), ("down.weight", 0))
    ),
    "embedding with padding_idx": Case(
        Padded, tokens(), (("embed.weight", 1), ("first.weight", 1))
    ),
    "parameter (C,)": Case(Vector, image(), (*PLAIN, ("gamma", 0))),
    "parameter (C, 1, 1)": Case(Image, image(), (*PLAIN, ("gamma", 0))),
    "parameter (1, T, C)": Case(
        Positions, sequence(), (("embed.weight", 0), ("position", 2), ("first.weight", 1))
    ),
    "one weight in two layers": Case(
        SharedWeight, image(), (("first.weight", 0), ("first.weight", 1), ("out.weight", 1))
    ),
    "one module called twice": Case(
        CalledTwice,
        image(),
        (("block.conv.weight", 0), ("block.conv.weight", 1), ("out.weight", 1)),
    ),
    "float16 weights": Case(Plain, image(dtype=torch.float16), CONVS, dtype=torch.float16),
    "bfloat16 weights": Case(Plain, image(dtype=torch.bfloat16), CONVS, dtype=torch.bfloat16),
    "weight norm, parametrized": Case(
        lambda: Normed(parametrizations.weight_norm),
        image(),
        ((f"first.{NEW}0", 0), (f"first.{NEW}1", 0), (f"second.{NEW}1", 1)),
    ),
    "weight norm, legacy": Case(
        lambda: Normed(weight_norm),
        image(),
        (("first.weight_g", 0), ("first.weight_v", 0), ("second.weight_v", 1)),
    ),
    "spectral norm, parametrized": Case(
        lambda: Normed(parametrizations.spectral_norm),
        image(),
        ((f"first.{NEW}", 0), (f"second.{NEW}", 1)),
    ),
    "spectral norm, legacy": Case(
        lambda: Normed(spectral_norm),
        image(),
        (("first.weight_orig", 0), ("second.weight_orig", 1)),
    ),
    "weight standardisation": Case(Standardised, image(), (*PLAIN, ("norm.weight", 0))),
    "nn.Bilinear": Case(Bilinear, sequence(), (("left.weight", 0), ("bilinear.weight", 1))),
}
