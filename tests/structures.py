"""Small networks with one structure each: heads, rotary pairs, groups, streams."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def rotate_half(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] / 7
    return x * angle.cos() + torch.cat((-x[..., half:], x[..., :half]), -1) * angle.sin()


def rotate_pairs(x: Tensor) -> Tensor:
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] / 7
    turned = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * angle.cos() + turned * angle.sin()


def plain(x: Tensor) -> Tensor:
    return x


ROTATIONS = {"plain": plain, "half": rotate_half, "pairs": rotate_pairs}


class Attention(nn.Module):
    """Attention with shared keys and values; keys repeated by ``repeat``, fused or written out."""

    def __init__(
        self,
        heads: int = 4,
        shared: int = 4,
        *,
        rotation: str = "plain",
        repeat: str = "expand",
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.shared, self.width = heads, shared, 6
        self.rotate = ROTATIONS[rotation]
        self.repeat, self.fused = repeat, fused
        self.q = nn.Linear(16, heads * self.width)
        self.k = nn.Linear(16, shared * self.width)
        self.v = nn.Linear(16, shared * self.width)
        self.o = nn.Linear(heads * self.width, 16)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = (
            m(x).view(n, t, -1, self.width).transpose(1, 2) for m in (self.q, self.k, self.v)
        )
        q, k = self.rotate(q), self.rotate(k)
        if self.heads > self.shared and self.repeat != "sdpa":
            k, v = self.repeated(k), self.repeated(v)
        if self.fused:
            grouped = self.heads > self.shared and self.repeat == "sdpa"
            y = F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
        elif self.repeat == "einsum":
            score = torch.einsum("bhqd,bhkd->bhqk", q, k) / 2.5
            y = torch.einsum("bhqk,bhkd->bhqd", score.softmax(-1), v)
        elif self.repeat == "bmm":
            q, k, v = (m.reshape(n * self.heads, t, self.width) for m in (q, k, v))
            y = torch.bmm((torch.bmm(q, k.transpose(1, 2)) / 2.5).softmax(-1), v)
            y = y.view(n, self.heads, t, self.width)
        else:
            y = (q @ k.transpose(-2, -1) / 2.5).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(n, t, -1))

    def repeated(self, x: Tensor) -> Tensor:
        n, shared, t, width = x.shape
        times = self.heads // self.shared
        if self.repeat == "interleave":
            return x.repeat_interleave(times, 1)
        if self.repeat == "outer":
            return x.repeat(1, times, 1, 1)
        return x[:, :, None].expand(n, shared, times, t, width).reshape(n, -1, t, width)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = attention
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Blocks over continuous tokens."""

    def __init__(self, *attentions: Attention) -> None:
        super().__init__()
        self.embed = nn.Linear(7, 16)
        self.layers = nn.ModuleList(Block(a) for a in attentions)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Basic(nn.Module):
    """A residual block of convolutions; with ``stride`` 2 its shortcut is a convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


class ResNet(nn.Module):
    """Two stages of two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.layer1 = nn.Sequential(Basic(8, 8), Basic(8, 8))
        self.layer2 = nn.Sequential(Basic(8, 12, 2), Basic(12, 12))
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(F.relu(self.stem(x)))).mean((2, 3)))


class Grouped(nn.Module):
    """A bottleneck of a grouped and a depthwise convolution, then another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.grouped = nn.Conv2d(12, 24, 3, padding=1, groups=4)
        self.mix = nn.Conv2d(24, 10, 1)
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.fc = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.mix(F.relu(self.grouped(F.relu(self.stem(x))))))
        return self.fc(F.relu(self.depthwise(x)).mean((2, 3)))


class GroupNormed(nn.Module):
    """Convolutions with a group norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = nn.GroupNorm(4, 12)
        self.conv2 = nn.Conv2d(12, 10, 3, padding=1)
        self.fc = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


class Latents(nn.Module):
    """Learned latents look at tokens, then tokens at latents."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, 16))
        self.embed = nn.Linear(7, 16)
        self.q, self.kv = nn.Linear(16, 16), nn.Linear(16, 32)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n = x.shape[0]
        latents = self.latents.expand(n, 6, 16)
        y = self.look(latents, x)
        return self.head(self.look(x, y))

    def look(self, x: Tensor, y: Tensor) -> Tensor:
        n = x.shape[0]
        q = self.q(x).view(n, -1, 2, 8).transpose(1, 2)
        k, v = self.kv(y).view(n, -1, 2, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = (q @ k.transpose(-2, -1) / 3).softmax(-1) @ v
        return y.transpose(1, 2).flatten(2)
