"""Random small networks: everything that makes channel coupling hard, in random order.

A network is drawn as a description (nested tuples, so that hypothesis shrinks it and prints it) and
built from it with fixed weights. Every stage takes and returns ``[N, channels, height, width]``
(images) or ``[N, tokens, channels]`` (sequences).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from tests.properties.sequences import SEQUENCE_STAGES, Stage


@dataclass(frozen=True)
class Recipe:
    """A network: its kind of input, its first width, and its stages (name, argument) in order."""

    kind: str
    width: int
    stages: tuple[tuple[str, int], ...]

    def build(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The module, in eval mode, with random weights and statistics, and example inputs."""
        generator = torch.Generator().manual_seed(len(self.stages))
        module: nn.Module = Images(self) if self.kind == "images" else Tokens(self)
        with torch.no_grad():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if tensor.is_floating_point():
                    drawn = torch.randn(tensor.shape, generator=generator) / 2
                    positive = name.endswith(("running_var", "weight")) and tensor.dim() == 1
                    tensor.copy_(drawn.abs() + 0.5 if positive else drawn)
        if self.kind == "images":
            example = torch.randn(2, 3, 6, 6, generator=generator)
        else:
            example = torch.randint(11, (2, 5), generator=generator)
        return module.eval(), (example,)


class Conv(nn.Module):
    """A convolution with a batch norm and an activation."""

    def __init__(self, inputs: int, outputs: int, **settings: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, **settings)  # type: ignore[arg-type]
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = Conv(width, hidden)
        self.second = nn.Conv2d(hidden, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class OptionA(nn.Module):
    """A shortcut that is padded with zero channels on both sides (He et al. 2015, option A)."""

    def __init__(self, width: int, extra: int) -> None:
        super().__init__()
        self.extra = extra
        self.body = Conv(width, width + 2 * extra, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, self.extra, self.extra)) + self.body(x)


class Dense(nn.Module):
    """Concatenation of what comes in with new channels."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.grow = Conv(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.grow(x)], 1)


class Shuffle(nn.Module):
    """Channel shuffle by view and transpose (ShuffleNet)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Branches(nn.Module):
    """Channels cut in two: one part passes, the other is transformed; joined in the other order."""

    def __init__(self, width: int, inner: bool) -> None:
        super().__init__()
        self.inner = inner
        self.body = Conv(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.inner:
            left, right = torch.split(x, x.shape[1] // 2, 1)
        else:
            left, right = x.chunk(2, dim=1)
        return torch.cat([self.body(right), left], 1)


class Gate(nn.Module):
    """Squeeze and excitation: one factor per channel, from all of them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, hidden, 1)
        self.excite = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))


class Scale(nn.Module):
    """A parameter per channel, used by broadcasting."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Tied(nn.Module):
    """One convolution used twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(F.relu(self.shared(x)))


class Order(nn.Module):
    """Channels rolled, or reversed."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return torch.roll(x, self.shift, 1) if self.shift else x.flip(1)


class UpDown(nn.Module):
    """Pooled, then brought back by a transposed convolution."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, outputs, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.max_pool2d(x, 2))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image (ConvNeXt)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Self-attention with heads by view and permute; fused, or written out with a softmax."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.heads, self.style = 2, style
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        if self.style % 2:
            parts = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            q, k, v = parts.unbind(0)
        else:
            q, k, v = (
                p.view(n, t, self.heads, c // self.heads).transpose(1, 2)
                for p in self.qkv(x).chunk(3, -1)
            )
        if self.style < 2:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) / (c // self.heads) ** 0.5, -1) @ v
        return x + self.out(y.transpose(1, 2).reshape(n, t, c))


class Mlp(nn.Module):
    """A pre-norm perceptron: plain, or gated."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gated = hidden % 2 == 1
        self.norm: nn.Module = nn.RMSNorm(width) if self.gated else nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * hidden if self.gated else hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.norm(x))
        y = F.glu(y, -1) if self.gated else F.gelu(y)
        return x + self.down(y)


class LinearMix(nn.Module):
    """einsum and a free matrix: tokens stay, channels are mixed by a parameter."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(width, outputs))
        self.bias = nn.Parameter(torch.ones(outputs))
        self.einsum = outputs % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("ntc,cd->ntd", x, self.matrix) if self.einsum else x @ self.matrix
        return y + self.bias


class Dropped(nn.Module):
    """Dropout, a module or a function."""

    def __init__(self, function: bool) -> None:
        super().__init__()
        self.function = function
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.2, self.training) if self.function else self.drop(x)


class Centred(nn.Module):
    """Minus the mean over channels, over their standard deviation: a norm written out."""

    def __init__(self, dim: int, deviation: bool) -> None:
        super().__init__()
        self.dim, self.deviation = dim, deviation

    def forward(self, x: Tensor) -> Tensor:
        y = x - x.mean(self.dim, keepdim=True)
        return y / (x.std(self.dim, keepdim=True) + 0.1) if self.deviation else y


class Padded(nn.Module):
    """Space padded in another way than with zeros, then cut back."""

    def __init__(self, width: int, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.conv = nn.Conv2d(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (1, 1, 1, 1), mode=self.mode))


class Copies(nn.Module):
    """Channels repeated one by one, or all in a row, and convolved in groups."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.conv = nn.Conv2d(2 * width, width, 1, groups=1 + style % 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(2, 1) if self.style < 2 else x.repeat(1, 2, 1, 1))


class Mixed(nn.Module):
    """Broadcasts: one map for all channels, one row and one column of each."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.map = nn.Conv2d(width, 1, 1)
        self.bias = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.style % 2:
            return x * torch.sigmoid(self.map(x)) + self.bias
        return x.mean(2, keepdim=True) + x.mean(3, keepdim=True) - self.bias


class Pooled(nn.Module):
    """What two pools give, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.mean = nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.most(x), self.mean(x)], 1)


class Read(nn.Module):
    """Rows of an image, read as a sequence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.GRU(width, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


class Images(nn.Module):
    """Stages over images, then a head: pooled or flattened, or the pooled features of two."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, recipe.width, 3, padding=1, bias=False)
        width, stages = recipe.width, []
        for name, argument in recipe.stages:
            stage, width = IMAGE_STAGES[name](width, argument)
            stages.append(stage)
        self.stages = nn.Sequential(*stages)
        self.flat = len(recipe.stages) % 2 == 1
        self.head = nn.Linear(width * 36 if self.flat else width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))


class Tokens(nn.Module):
    """An embedding with positions, stages over sequences, a norm and a head, tied where the width
    allows.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, recipe.width)
        self.position = nn.Parameter(torch.zeros(1, 5, recipe.width))
        width, stages = recipe.width, []
        for name, argument in recipe.stages:
            stage, width = TOKEN_STAGES[name](width, argument)
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 11, bias=False)
        if width == recipe.width and len(stages) % 2:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position[:, : tokens.shape[1]]
        for stage in self.stages:
            x = stage(x)
        return self.head(self.norm(x))


def _grouped(width: int, argument: int) -> tuple[nn.Module, int]:
    outputs = width * (1 + argument % 2)
    return Conv(width, outputs, groups=2 if argument < 2 else 4), outputs


def _groups(width: int, argument: int) -> tuple[nn.Module, int]:
    return nn.GroupNorm((2, 4, width, 1)[argument % 4], width), width


# Widths are multiples of four throughout, so that every stage can follow every other.
IMAGE_STAGES: dict[str, Stage] = {
    "conv": lambda w, a: (Conv(w, 4 * (1 + a)), 4 * (1 + a)),
    "residual": lambda w, a: (Residual(w, 3 + a), w),
    "option_a": lambda w, a: (OptionA(w, 2), w + 4),
    "dense": lambda w, a: (Dense(w, 4), w + 4),
    "shuffle": lambda w, a: (Shuffle(2 + 2 * (a % 2)), w),
    "branches": lambda w, a: (Branches(w, a % 2 == 0), w),
    "grouped": _grouped,
    "depthwise": lambda w, a: (Conv(w, w, groups=w), w),
    "multiplier": lambda w, a: (Conv(w, 2 * w, groups=w), 2 * w),
    "group_norm": _groups,
    "instance_norm": lambda w, a: (nn.InstanceNorm2d(w, affine=a % 2 == 0), w),
    "channel_norm": lambda w, a: (ChannelNorm(w), w),
    "gate": lambda w, a: (Gate(w, 2 + a), w),
    "scale": lambda w, a: (Scale(w), w),
    "tied": lambda w, a: (Tied(w), w),
    "order": lambda w, a: (Order(a), w),
    "up_down": lambda w, a: (UpDown(w, 4 + 4 * (a % 2)), 4 + 4 * (a % 2)),
    "unshuffle": lambda w, a: (
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * w, 4 * w, 1), nn.PixelShuffle(2)),
        w,
    ),
    "prelu": lambda w, a: (nn.PReLU(w), w),
    "pool": lambda w, a: (nn.AvgPool2d(3, 1, 1), w),
    "padded": lambda w, a: (Padded(w, ("reflect", "circular", "replicate", "constant")[a]), w),
    "copies": lambda w, a: (Copies(w, a), w),
    "mixed": lambda w, a: (Mixed(w, a), w),
    "pooled": lambda w, a: (Pooled(), 2 * w),
    "read": lambda w, a: (Read(w), 8),
    "weight_norm": lambda w, a: (weight_norm(nn.Conv2d(w, w, 3, padding=1)), w),
    "transposed": lambda w, a: (nn.ConvTranspose2d(w, w, 3, padding=1, groups=1 + a % 2), w),
    "drop": lambda w, a: (Dropped(a % 2 == 0), w),
    "centred": lambda w, a: (Centred(1, a % 2 == 0), w),
}
TOKEN_STAGES: dict[str, Stage] = {
    "attention": lambda w, a: (Attention(w, a), w),
    "mlp": lambda w, a: (Mlp(w, 5 + a), w),
    "linear": lambda w, a: (nn.Linear(w, 4 * (1 + a)), 4 * (1 + a)),
    "mix": lambda w, a: (LinearMix(w, 4 + 4 * (a % 2)), 4 + 4 * (a % 2)),
    "norm": lambda w, a: (nn.LayerNorm(w), w),
    "drop": lambda w, a: (Dropped(a % 2 == 0), w),
    "centred": lambda w, a: (Centred(-1, a % 2 == 0), w),
    **SEQUENCE_STAGES,
}


def recipes() -> st.SearchStrategy[Recipe]:
    """Networks of one to five stages."""
    return st.one_of(_of("images", IMAGE_STAGES), _of("tokens", TOKEN_STAGES))


def drawn(seed: int) -> Recipe:
    """The network of a seed, of one to six stages."""
    chosen = random.Random(seed)
    kind, table = chosen.choice((("images", IMAGE_STAGES), ("tokens", TOKEN_STAGES)))
    stages = [
        (chosen.choice(sorted(table)), chosen.randrange(4)) for _ in range(chosen.randint(1, 6))
    ]
    return Recipe(kind, chosen.choice((4, 8)), tuple(stages))


def _of(kind: str, stages: dict[str, Stage]) -> st.SearchStrategy[Recipe]:
    stage = st.tuples(st.sampled_from(sorted(stages)), st.integers(0, 3))
    drawn = st.lists(stage, min_size=1, max_size=5).map(tuple)
    return st.builds(Recipe, st.just(kind), st.sampled_from((4, 8)), drawn)
