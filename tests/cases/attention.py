"""Attention: heads, shared heads, rotary positions, gates, experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.cases.case import Case, sequence


class SelfAttention(nn.Module):
    """nn.MultiheadAttention on one sequence."""

    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.weights = weights
        self.first = nn.Linear(12, 32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(x + self.attention(x, x, x, need_weights=self.weights)[0])


class CrossAttention(nn.Module):
    """nn.MultiheadAttention of one sequence to another, of other widths."""

    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.weights = weights
        self.first, self.memory = nn.Linear(12, 32), nn.Linear(10, 24)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True, kdim=24, vdim=24)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.first(x), self.memory(y)
        return self.head(x + self.attention(x, y, y, need_weights=self.weights)[0])


class Grouped(nn.Module):
    """Grouped-query attention: four query heads share each of two key-value heads."""

    def __init__(self, interleave: bool) -> None:
        super().__init__()
        self.interleave = interleave
        self.first = nn.Linear(12, 32)
        self.q, self.k, self.v = (nn.Linear(32, n, bias=False) for n in (64, 16, 16))
        self.o = nn.Linear(64, 32, bias=False)
        self.head = nn.Linear(32, 5)

    def repeat(self, x: Tensor) -> Tensor:
        """``[n, 2, t, d] -> [n, 8, t, d]``."""
        if self.interleave:
            return torch.repeat_interleave(x, 4, dim=1)
        n, h, t, d = x.shape
        return x[:, :, None, :, :].expand(n, h, 4, t, d).reshape(n, h * 4, t, d)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        n, t, _ = x.shape
        q = self.q(x).view(n, t, 8, -1).transpose(1, 2)
        k = self.repeat(self.k(x).view(n, t, 2, -1).transpose(1, 2))
        v = self.repeat(self.v(x).view(n, t, 2, -1).transpose(1, 2))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.head(x + self.o(y.transpose(1, 2).reshape(n, t, -1)))


class Rotary(nn.Module):
    """Rotary positions: by halves (``half``), by even and odd (``interleaved``), or ``complex``."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.first = nn.Linear(12, 32)
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))
        self.o = nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)
        angles = torch.arange(7)[:, None] * 10.0 ** -torch.arange(4)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x: Tensor) -> Tensor:
        """``[n, h, t, 8] -> [n, h, t, 8]``."""
        if self.style == "half":
            half = x.shape[-1] // 2
            turned = torch.cat([-x[..., half:], x[..., :half]], -1)
            return x * self.cos.repeat(1, 2) + turned * self.sin.repeat(1, 2)
        if self.style == "interleaved":
            even, odd = x[..., ::2], x[..., 1::2]
            parts = (even * self.cos - odd * self.sin, odd * self.cos + even * self.sin)
            return torch.stack(parts, -1).flatten(-2)
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * torch.complex(self.cos, self.sin)).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        n, t, _ = x.shape
        q, k, v = (f(x).view(n, t, 4, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v)
        return self.head(x + self.o(y.transpose(1, 2).reshape(n, t, -1)))


class Einsum(nn.Module):
    """Attention by einsum, the heads a dimension of the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 32)
        self.q, self.k, self.v = (nn.Parameter(torch.randn(32, 4, 8) / 4) for _ in range(3))
        self.o = nn.Parameter(torch.randn(4, 8, 32) / 4)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        q, k, v = (torch.einsum("btc,chd->bhtd", x, w) for w in (self.q, self.k, self.v))
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * 8**-0.5
        y = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        return self.head(x + torch.einsum("bhtd,hdc->btc", y, self.o))


class Swiglu(nn.Module):
    """A gated perceptron, gate and up in one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 32)
        self.gate_up = nn.Linear(32, 96, bias=False)
        self.down = nn.Linear(48, 32, bias=False)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.head(x + self.down(F.silu(gate) * up))


class Encoder(nn.Module):
    """nn.TransformerEncoderLayer."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = nn.Linear(12, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True, norm_first=first)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.first(x)))


class Mixture(nn.Module):
    """Four experts, stacked in one parameter each way, mixed by the softmax of a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 32)
        self.gate = nn.Linear(32, 4)
        self.up = nn.Parameter(torch.randn(4, 32, 24) / 4)
        self.down = nn.Parameter(torch.randn(4, 24, 32) / 4)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = torch.einsum("btc,ecf->btef", x, self.up).relu()
        y = torch.einsum("btef,efc->btec", y, self.down)
        return self.head(x + torch.einsum("btec,bte->btc", y, self.gate(x).softmax(-1)))


VALUES = (("attention.in_proj_weight", 0), ("attention.in_proj_bias", 0))
OUT = (("attention.out_proj.weight", 1),)
TWO = (*sequence(12, 7), *sequence(10, 5))
FOUR = {"q": 4, "k": 4, "v": 4}

CASES = {
    "nn.MultiheadAttention": Case(
        lambda: SelfAttention(False), sequence(), (*VALUES, *OUT), heads={"attention": 4}
    ),
    "nn.MultiheadAttention with need_weights": Case(
        lambda: SelfAttention(True), sequence(), (*VALUES, *OUT), heads={"attention": 4}
    ),
    "cross attention": Case(
        lambda: CrossAttention(False),
        TWO,
        (("attention.v_proj_weight", 0), *OUT),
        heads={"attention": 4},
    ),
    "cross attention with need_weights": Case(
        lambda: CrossAttention(True),
        TWO,
        (("attention.v_proj_weight", 0), *OUT),
        heads={"attention": 4},
    ),
    "grouped queries, repeated by expand": Case(
        lambda: Grouped(False),
        sequence(),
        (("q.weight", 0), ("k.weight", 0), ("v.weight", 0), ("o.weight", 1)),
        heads={"q": 8, "k": 2, "v": 2},
    ),
    "grouped queries, repeated by repeat_interleave": Case(
        lambda: Grouped(True),
        sequence(),
        (("q.weight", 0), ("k.weight", 0), ("v.weight", 0), ("o.weight", 1)),
        heads={"q": 8, "k": 2, "v": 2},
    ),
    "rotary positions by halves": Case(
        lambda: Rotary("half"),
        sequence(),
        (("q.weight", 0), ("k.weight", 0), ("cos", 1)),
        heads=FOUR,
    ),
    "rotary positions interleaved": Case(
        lambda: Rotary("interleaved"), sequence(), (("q.weight", 0), ("k.weight", 0)), heads=FOUR
    ),
    "rotary positions as complex numbers": Case(
        lambda: Rotary("complex"),
        sequence(),
        (("v.weight", 0), ("o.weight", 1)),
        frozen={("q.weight", 0): "complex", ("k.weight", 0): "complex"},
        heads=FOUR,
    ),
    "attention by einsum": Case(Einsum, sequence(), (("q", 1), ("k", 1), ("v", 1), ("o", 0))),
    "SwiGLU with one weight for gate and up": Case(
        Swiglu, sequence(), (("gate_up.weight", 0), ("down.weight", 1))
    ),
    "nn.TransformerEncoderLayer": Case(
        lambda: Encoder(False),
        sequence(),
        (("layer.linear1.weight", 0), ("layer.linear2.weight", 1)),
        heads={"layer.self_attn": 4},
    ),
    "nn.TransformerEncoderLayer, norms first": Case(
        lambda: Encoder(True),
        sequence(),
        (("layer.self_attn.in_proj_weight", 0), ("layer.self_attn.out_proj.weight", 1)),
        heads={"layer.self_attn": 4},
    ),
    "experts stacked in one parameter": Case(Mixture, sequence(), (("up", 2), ("down", 1))),
}
