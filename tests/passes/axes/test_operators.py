"""Operators inside of models: what stays reachable, and what is emitted is equal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.check import build

IMAGE, TOKENS = torch.randn(2, 3, 8, 8), torch.randn(2, 7, 6)


class Image(nn.Module):
    """Two convolutions and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def end(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.b(x)).mean((2, 3)))


class Unpooled(Image):
    def __init__(self) -> None:
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.unpool(*self.pool(self.a(x))))


class Sampled(Image):
    def forward(self, x: Tensor) -> Tensor:
        theta = torch.eye(2, 3).expand(x.shape[0], 2, 3)
        grid = F.affine_grid(theta, [x.shape[0], 8, 8, 8], align_corners=False)
        return self.end(F.grid_sample(self.a(x), grid, align_corners=False))


class Unfolded(Image):
    def __init__(self) -> None:
        super().__init__()
        self.fold, self.mix = nn.Fold((8, 8), 2, stride=2), nn.Conv1d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fold(self.mix(F.unfold(self.a(x), 2, stride=2))))


class Normed(Image):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(self.a)
        self.b = nn.utils.parametrizations.weight_norm(self.b)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(F.relu(self.a(x)))


class Responding(Image):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.norm(self.a(x)))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e, self.f = nn.Linear(6, 8), nn.Linear(8, 4)


class Chosen(Tokens):
    def forward(self, x: Tensor) -> Tensor:
        y = self.e(x)
        chosen = x.sum(-1).argsort(1)[:, :3, None].expand(-1, -1, y.shape[-1])
        return self.f(torch.gather(y, 1, chosen))


class Best(Tokens):
    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.e(x).topk(3, 1).values)


class Filtered(Tokens):
    """A learned filter in frequency space (GFNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(4, 8, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.fft.rfft(self.e(x), dim=1, norm="ortho") * torch.view_as_complex(self.filter)
        return self.f(torch.fft.irfft(y, n=7, dim=1, norm="ortho"))


class Rotated(Tokens):
    """Rotary positions on interleaved pairs."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.e(x)
        angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * torch.tensor([1, 0.5, 0.25, 0])
        even, odd = y[..., ::2], y[..., 1::2]
        pair = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
        return self.f(torch.stack(pair, -1).flatten(-2))


class Similar(Tokens):
    def forward(self, x: Tensor) -> Tensor:
        y = self.e(x)
        return self.f(y) * F.cosine_similarity(y, y.sin(), dim=-1)[..., None]


class Masked(Tokens):
    def forward(self, x: Tensor) -> Tensor:
        y = self.e(x)
        y[x.sum(-1) > 0] = 0.0
        return self.f(y)


class Pooled(Tokens):
    """A sum of tokens by an index (graph networks)."""

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.tensor([0, 1, 1, 2, 2, 0, 1])
        empty = torch.zeros(3, 8, dtype=x.dtype)
        return self.f(empty.index_add(0, rows, self.e(x).sum(0)))


CASES: dict[str, tuple[nn.Module, Tensor, set[tuple[str, int]]]] = {
    "max_unpool": (Unpooled(), IMAGE, {("a", 8), ("b", 6)}),
    "grid_sample": (Sampled(), IMAGE, {("a", 8), ("b", 6)}),
    "fold": (Unfolded(), IMAGE, {("a", 8), ("b", 6), ("mix", 8)}),
    "weight_norm": (
        Normed(),
        IMAGE,
        {("a.parametrizations.weight", 8), ("b.parametrizations.weight", 6)},
    ),
    "local_response_norm": (Responding(), IMAGE, {("b", 6)}),
    "gather": (Chosen(), TOKENS, {("e", 8)}),
    "topk": (Best(), TOKENS, {("e", 8)}),
    "fft": (Filtered(), TOKENS, {("e", 8)}),
    "interleaved pairs": (Rotated(), TOKENS, {("e", 4)}),
    "cosine_similarity": (Similar(), TOKENS, {("e", 8)}),
    "masked assignment": (Masked(), TOKENS, {("e", 8)}),
    "index_add": (Pooled(), TOKENS, {("e", 8)}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_free_is_pruned_and_equal(name: str) -> None:
    module, example, groups = CASES[name]
    made = build.compile(build.randomised(module), example)
    assert {(g.name, g.size) for g in made.groups} == groups
    found = made.check()
    assert found.equal, [str(d) for d in found.diagnostics]
