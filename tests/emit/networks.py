"""Small models of every kind, each with what it is called with; and their emitted modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prunec import emit, trace


@dataclass(frozen=True)
class Network:
    """A model, what it is called with at so many samples, and what may change its size."""

    build: Callable[[], nn.Module]
    given: Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]]
    dynamic: Mapping[str, Any] | None = None


class Block(nn.Module):
    """Two convolutions around a dropout, added to the input."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner, momentum=0.3)
        self.drop = nn.Dropout(0.25)
        self.conv2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.drop(F.relu(self.bn1(self.conv1(x)))))


class Convolutional(nn.Module):
    """Batch norms (one with a cumulative average), dropout as a module and as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None))
        self.blocks = nn.Sequential(Block(8, 6), Block(8, 5))
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        x = F.dropout(x.mean((2, 3)), 0.5, self.training)
        return self.head(x)


class Attention(nn.Module):
    """Causal attention with a dropout of the weights, and a mask made for the length."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mask = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        scores = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).masked_fill(mask, -1e4)
        x = (self.drop(scores.softmax(-1)) @ v).transpose(1, 2).reshape(n, t, c)
        return self.out(x)


class Layer(nn.Module):
    """A transformer's layer before whose parts the norms stand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A language model with tied embeddings, positions counted in forward, and a table."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.places = nn.Embedding(32, 16)
        self.layers = nn.ModuleList([Layer(16) for _ in range(2)])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens) + self.places(places)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Attending(nn.Module):
    """Attention whose weights drop out in training, by different chances."""

    def __init__(self) -> None:
        super().__init__()
        self.chances = 0.1, 0.4
        self.qkv = nn.ModuleList([nn.Linear(8, 24) for _ in self.chances])

    def forward(self, x: Tensor) -> Tensor:
        for p, layer in zip(self.chances, self.qkv, strict=True):
            q, k, v = layer(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            drop = p if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
            x = x + y.transpose(1, 2).flatten(2)
        return x


class Nested(nn.Module):
    """A pair and a dict go in, one of them by keyword; a dict of lists comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 6)
        self.right = nn.Linear(5, 6)

    def forward(
        self, pair: tuple[Tensor, Tensor], *, extra: dict[str, Tensor], scale: float = 2.0
    ) -> dict[str, Any]:
        left, right = pair
        y = self.left(left) * scale + self.right(right) + extra["bias"]
        return {"sum": y, "parts": [left, (y.mean(), y.argmax(-1))]}


class Buffered(nn.Module):
    """Buffers that persist and that do not, short and long, and a constant of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(6))
        self.register_buffer("order", torch.tensor([2, 0, 1, 5, 4, 3]), persistent=False)
        self.register_buffer("table", torch.rand(6, 30), persistent=False)
        self.fc = nn.Linear(30, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = (x * self.scale)[:, self.order] @ self.table
        x = x + torch.full((30,), 0.5, dtype=x.dtype, device=x.device)
        return self.fc(x * torch.linspace(0, 1, 30, dtype=x.dtype, device=x.device))


class Shared(nn.Module):
    """One layer called twice, one that stands under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.mlp = nn.Sequential(self.fc, nn.Tanh(), nn.Linear(6, 6))
        self.other = self.mlp[2]

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.mlp(self.fc(x)))


class Recurrent(nn.Module):
    """A two-layer LSTM with dropout between its layers, and a GRU's last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True, dropout=0.3)
        self.gru = nn.GRU(6, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(x)
        _, state = self.gru(x)
        return state[0]


class Functional(nn.Module):
    """Norms and dropouts as functions that are told of the mode, and random activations."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(5))
        self.bias = nn.Parameter(torch.rand(5))
        self.register_buffer("mean", torch.rand(5))
        self.register_buffer("var", torch.rand(5))
        self.act = nn.RReLU(0.1)
        self.norm = nn.InstanceNorm1d(5, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        train = self.training
        x = F.batch_norm(x, self.mean, self.var, self.weight, self.bias, train, 0.2, 1e-3)
        x = F.instance_norm(x)
        x = F.rrelu(self.act(self.norm(x)), 0.1, 0.3, training=train)
        x = F.dropout2d(x.unsqueeze(-1), 0.3, train).squeeze(-1)
        x = F.feature_alpha_dropout(F.alpha_dropout(x, 0.2, train), 0.2, train)
        return F.dropout(x, training=train)


class Norm(nn.Module):
    """A norm that computes in float32, whatever it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.to(x.dtype)


class Upcast(nn.Module):
    """Half precision with parts in float32: norms, a softmax, angles."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.norm = Norm(8)
        self.last = Norm(8)
        self.register_buffer("frequencies", torch.rand(4), persistent=False)
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device).float()
        angles = torch.outer(places, self.frequencies.float())
        x = self.norm(self.fc(x)) * torch.cat([angles, angles], -1).cos().to(x.dtype)
        return self.last(x + F.softmax(x, dim=-1, dtype=torch.float32).to(x.dtype))


def frozen(part: Callable[[nn.Module], list[nn.Parameter]]) -> Callable[[], nn.Module]:
    """The convolutional model with some parameters that do not train."""

    def build() -> nn.Module:
        net = Convolutional()
        for parameter in part(net):
            parameter.requires_grad_(False)
        return net

    return build


def images(count: int) -> tuple[tuple[Tensor], dict[str, Any]]:
    return (torch.randn(count, 3, 8, 8),), {}


def of_dtype(dtype: torch.dtype) -> Network:
    def given(count: int) -> tuple[tuple[Tensor], dict[str, Any]]:
        return (torch.randn(count, 3, 8, 8, dtype=dtype),), {}

    return Network(lambda: Convolutional().to(dtype), given)


def _tokens(count: int) -> tuple[tuple[Tensor], dict[str, Any]]:
    return (torch.randint(0, 30, (count, 4 + count)),), {}


def _nested(count: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    pair = torch.randn(count, 4), torch.randn(count, 5)
    return (pair,), {"extra": {"bias": torch.randn(count, 6)}, "scale": 2.0}


def _rows(width: int) -> Callable[[int], tuple[tuple[Tensor], dict[str, Any]]]:
    return lambda count: ((torch.randn(count, width),), {})


def _steps(count: int) -> tuple[tuple[Tensor], dict[str, Any]]:
    return (torch.randn(count, 7, 5),), {}


NETWORKS: Mapping[str, Network] = {
    "convolutional": Network(Convolutional, images),
    "transformer": Network(Transformer, _tokens),
    "attending": Network(Attending, lambda count: ((torch.randn(count, 5, 8),), {})),
    "nested": Network(Nested, _nested),
    "buffered": Network(Buffered, _rows(6)),
    "shared": Network(Shared, _rows(6)),
    "recurrent": Network(Recurrent, _steps),
    "frozen": Network(frozen(lambda net: list(net.parameters())), images),
    "partly_frozen": Network(
        frozen(lambda net: [net.head.bias, *net.blocks[0].parameters(), net.stem[1].weight]),
        images,
    ),
    "half": of_dtype(torch.float16),
    "bfloat16": of_dtype(torch.bfloat16),
    "float64": of_dtype(torch.float64),
    "functional": Network(Functional, lambda count: ((torch.randn(count, 5, 7),), {})),
    "upcast": Network(Upcast, lambda count: ((torch.randn(count, 6, 8),), {})),
    "upcast_bfloat16": Network(
        lambda: Upcast().to(torch.bfloat16),
        lambda count: ((torch.randn(count, 6, 8, dtype=torch.bfloat16),), {}),
    ),
}


@dataclass(frozen=True)
class Pair:
    """A model and the emitted one, both in eval mode, with equal weights of their own."""

    original: nn.Module
    emitted: nn.Module
    network: Network
    source: str = field(repr=False)

    def given(self, count: int = 2) -> tuple[tuple[Any, ...], dict[str, Any]]:
        torch.manual_seed(count)
        return self.network.given(count)

    def same(self, count: int = 2) -> None:
        """Both give the same now, from the same random state."""
        args, kwargs = self.given(count)
        results = []
        for model in (self.original, self.emitted):
            torch.manual_seed(0)
            results.append(model(*args, **kwargs))
        torch.testing.assert_close(results[1], results[0])


def pair(name: str) -> Pair:
    """A model of the table and its emitted module; a fresh pair every time."""
    network = NETWORKS[name]
    source, weights = _compiled(name)
    return Pair(_original(network), emit.load(source, weights, "Slim"), network, source)


def _original(network: Network) -> nn.Module:
    torch.manual_seed(0)
    return network.build().eval()


@cache
def _compiled(name: str) -> tuple[str, Mapping[str, Tensor]]:
    network = NETWORKS[name]
    found = trace.run(_original(network), *network.given(2))
    source = emit.run(found.graph, class_name="Slim", header="test", weights=found.weights)
    return source, found.weights


def tensors(result: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]
