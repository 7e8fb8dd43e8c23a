"""Small recurrent networks: every form in which torch.nn has layers and cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

X = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))


class Layered(nn.Module):
    """Linear -> recurrent layers -> Linear, the sequence read."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.before = nn.Linear(6, 8)
        self.layer = layer
        wide = layer.proj_size or layer.hidden_size
        self.after = nn.Linear(wide * (2 if layer.bidirectional else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.layer(self.before(x))
        return self.after(x)


class Last(nn.Module):
    """The last state of the last layer, read alone."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.after = nn.Linear(layer.proj_size or layer.hidden_size, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.layer(x)
        h = state[0] if isinstance(state, tuple) else state
        return self.after(h[-1])


class Coder(nn.Module):
    """An encoder whose states start a decoder; one state comes out of a Linear, one is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.LSTM(6, 7, num_layers=2, batch_first=True)
        self.decode = nn.LSTM(6, 7, num_layers=2, batch_first=True)
        self.start = nn.Parameter(torch.zeros(1, 1, 7))
        self.more = nn.GRU(7, 7, batch_first=True)
        self.after = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, (h, c) = self.encode(x)
        y, (h, _) = self.decode(x, (h, torch.tanh(c)))
        y, _ = self.more(y, self.start.expand(-1, x.shape[0], -1).contiguous())
        return self.after(y), self.after(h).sum(0)


class Cells(nn.Module):
    """Cells in a loop over time: an LSTM's state is made of zeros or left out, then two more."""

    def __init__(self, zeros: bool, nonlinearity: str = "tanh", bias: bool = True) -> None:
        super().__init__()
        self.zeros = zeros
        self.before = nn.Linear(6, 8)
        self.lstm = nn.LSTMCell(8, 5, bias=bias)
        self.gru = nn.GRUCell(5, 4, bias=bias)
        self.rnn = nn.RNNCell(4, 7, bias=bias, nonlinearity=nonlinearity)
        self.after = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        zeros = x.new_zeros(x.shape[0], 5)
        state = (zeros, zeros) if self.zeros else None
        inner = outer = None
        for step in x.unbind(1):
            state = self.lstm(step, state)
            inner = self.gru(state[0], inner)
            outer = self.rnn(inner, outer)
        return self.after(outer)


class Stacked(nn.Module):
    """Layers in a list, each normed and added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(6, 8)
        self.layers = nn.ModuleList(nn.GRU(8, 8, batch_first=True) for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.after = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        for layer in self.layers:
            x = layer(x)[0]
        for layer in self.layers:
            y, _ = layer(self.norm(x))
            x = x + y
        return self.after(x)


class Unbatched(nn.Module):
    """One sample alone: a sequence without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(6, 5)
        self.after = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.layer(x[0])[0])


NETS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Layered(nn.LSTM(8, 5, batch_first=True)),
    "lstm without bias": lambda: Layered(nn.LSTM(8, 5, bias=False)),
    "lstm both ways, two layers": lambda: Layered(
        nn.LSTM(8, 5, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
    ),
    "lstm projected": lambda: Layered(nn.LSTM(8, 9, proj_size=4, batch_first=True)),
    "lstm projected both ways, two layers": lambda: Layered(
        nn.LSTM(8, 9, num_layers=2, proj_size=4, bidirectional=True, bias=False)
    ),
    "gru": lambda: Layered(nn.GRU(8, 5, batch_first=True)),
    "gru both ways, three layers": lambda: Layered(
        nn.GRU(8, 5, num_layers=3, bidirectional=True, dropout=0.5)
    ),
    "rnn tanh": lambda: Layered(nn.RNN(8, 5, num_layers=2)),
    "rnn relu": lambda: Layered(nn.RNN(8, 5, nonlinearity="relu", bidirectional=True)),
    "last state of an lstm": lambda: Last(nn.LSTM(6, 5, num_layers=2, batch_first=True)),
    "last state of a gru": lambda: Last(nn.GRU(6, 5, batch_first=True)),
    "encoder and decoder": Coder,
    "cells": lambda: Cells(False),
    "cells from zeros": lambda: Cells(True, "relu", False),
    "list": Stacked,
    "unbatched": Unbatched,
}
