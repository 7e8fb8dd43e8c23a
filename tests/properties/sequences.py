"""Stages over sequences, ``[N, tokens, channels]``: recurrence, and attention in every form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


class Recurrent(nn.Module):
    """A recurrent layer stack, of which the sequence is read."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        made: Callable[[], nn.Module] = (
            lambda: nn.LSTM(width, width, batch_first=True),
            lambda: nn.GRU(width, 4, batch_first=True, bidirectional=True),
            lambda: nn.LSTM(width, 4, 2, batch_first=True, bidirectional=True, dropout=0.1),
            lambda: nn.LSTM(width, 7, batch_first=True, proj_size=4, bias=False),
        )[style]
        self.layer = made()
        self.outputs = (width, 8, 8, 4)[style]

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.layer(x)
        return x


class Remembered(nn.Module):
    """The last states are added to every token, or start a second layer."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.read = nn.GRU(width, 6, 1 + style % 2, batch_first=True)
        self.write = nn.GRU(width, 6, 1 + style % 2, batch_first=True)
        self.out = nn.Linear(6, width)

    def forward(self, x: Tensor) -> Tensor:
        _, h = self.read(x)
        if self.style < 2:
            return x + self.out(h[-1])[:, None]
        return self.out(self.write(x, torch.tanh(h))[0])


class Cell(nn.Module):
    """A cell in a loop over the tokens."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        kind = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)[style % 3]
        self.cell = kind(width, 5)
        self.out = nn.Linear(5, width)

    def forward(self, x: Tensor) -> Tensor:
        state, seen = None, []
        for token in x.unbind(1):
            state = self.cell(token, state)
            seen.append(state[0] if isinstance(state, tuple) else state)
        return x + self.out(torch.stack(seen, 1))


class GroupedQueries(nn.Module):
    """Four heads of queries share two of keys and values: by flag, repeated, or by a view."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style, self.size = style, 3
        self.q = nn.Linear(width, 4 * self.size)
        self.k = nn.Linear(width, 2 * self.size, bias=False)
        self.v = nn.Linear(width, 2 * self.size)
        self.norm = nn.RMSNorm(self.size) if style == 3 else nn.Identity()
        self.out = nn.Linear(4 * self.size, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.norm(self.q(x).view(n, t, 4, self.size)).transpose(1, 2)
        k = self.k(x).view(n, t, 2, self.size).transpose(1, 2)
        v = self.v(x).view(n, t, 2, self.size).transpose(1, 2)
        if self.style == 0:
            y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        elif self.style == 1:
            y = F.scaled_dot_product_attention(
                q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), is_causal=True
            )
        else:
            k, v = (p[:, :, None].expand(n, 2, 2, t, self.size).flatten(1, 2) for p in (k, v))
            y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(n, t, 4 * self.size))


class Cross(nn.Module):
    """Learned queries look at the tokens: as many tokens come out, or what they say is added."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.queries = nn.Parameter(torch.zeros(1, 3, width))
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True, bias=style % 2 == 0)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        given = self.queries.expand(x.shape[0], -1, -1)
        y, _ = self.attend(given, x, x, need_weights=self.style == 1)
        return self.norm(y) if self.style < 2 else x + y.mean(1, keepdim=True)


class Multihead(nn.Module):
    """nn.MultiheadAttention to itself, or with keys of another width."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.other = nn.Linear(width, 6) if style == 3 else None
        keys = {"kdim": 6, "vdim": 6} if style == 3 else {}
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True, **keys)
        self.weights = style == 2

    def forward(self, x: Tensor) -> Tensor:
        keys = x if self.other is None else self.other(x)
        return x + self.attend(x, keys, keys, need_weights=self.weights)[0]


class Encoder(nn.Module):
    """torch.nn's own transformer layer."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, 2, 6, activation="gelu" if style % 2 else "relu", batch_first=True,
            norm_first=style > 1,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Rotary(nn.Module):
    """Queries and keys turned by position, their halves exchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * 8)
        self.out = nn.Linear(8, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        angles = torch.arange(t, device=x.device)[:, None] * torch.tensor([1.0, 0.1] * 2)
        q, k = (p * angles.cos() + self.halves(p) * angles.sin() for p in (q, k))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))

    @staticmethod
    def halves(x: Tensor) -> Tensor:
        left, right = x.chunk(2, -1)
        return torch.cat([-right, left], -1)


class Repeated(nn.Module):
    """Channels repeated, one by one or all in a row, and brought back."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.out = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.repeat_interleave(2, -1) if self.style % 2 else x.repeat(1, 1, 2))


class Broadcast(nn.Module):
    """One number a token, one vector a sample, a table of both."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.style = style
        self.gate = nn.Linear(width, 1 if style % 2 else width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        of_sample = x.mean(1, keepdim=True)
        gate = torch.sigmoid(self.gate(x if self.style < 2 else of_sample))
        return x * gate + self.scale * of_sample


class Normed(nn.Module):
    """Norms over channels: RMS, in groups, or a layer norm without weights."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.norm = (
            nn.RMSNorm(width),
            nn.GroupNorm(2, width),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.BatchNorm1d(width),
        )[style]

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.norm, nn.GroupNorm | nn.BatchNorm1d):
            return self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.norm(x)


class Along(nn.Module):
    """A convolution along the tokens; padding of every kind, weights by norm and direction."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        mode = ("zeros", "circular", "reflect", "replicate")[style]
        conv = nn.Conv1d(width, width, 3, padding=1, padding_mode=mode)
        self.conv = weight_norm(conv) if style == 1 else conv

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x.transpose(1, 2)).transpose(1, 2))


class Rolled(nn.Module):
    """Tokens or channels moved around."""

    def __init__(self, style: int) -> None:
        super().__init__()
        self.style = style

    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1 + self.style, 1 if self.style % 2 else -1)


Stage = Callable[[int, int], tuple[nn.Module, int]]


def _recurrent(width: int, style: int) -> tuple[nn.Module, int]:
    made = Recurrent(width, style)
    return made, made.outputs


SEQUENCE_STAGES: dict[str, Stage] = {
    "recurrent": _recurrent,
    "remembered": lambda w, a: (Remembered(w, a), w),
    "cell": lambda w, a: (Cell(w, a), w),
    "grouped_queries": lambda w, a: (GroupedQueries(w, a), w),
    "cross": lambda w, a: (Cross(w, a), w),
    "multihead": lambda w, a: (Multihead(w, a), w),
    "encoder": lambda w, a: (Encoder(w, a), w),
    "rotary": lambda w, a: (Rotary(w), w),
    "repeated": lambda w, a: (Repeated(w, a), w),
    "broadcast": lambda w, a: (Broadcast(w, a), w),
    "normed": lambda w, a: (Normed(w, a), w),
    "along": lambda w, a: (Along(w, a), w),
    "rolled": lambda w, a: (Rolled(a), w),
    "weight_norm": lambda w, a: (weight_norm(nn.Linear(w, 4 + 4 * (a % 2))), 4 + 4 * (a % 2)),
}
