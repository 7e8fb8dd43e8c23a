"""Recurrent modules are written as torch.nn's own, with the original's names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import emit, trace
from tests.check.build import compile, randomised
from tests.check.recurrent_nets import NETS, Layered, X

LINES = {
    "lstm": ("self.layer = nn.LSTM(4, 2, batch_first=True)", "x, _ = self.layer(self.before(x))"),
    "lstm without bias": ("self.layer = nn.LSTM(4, 2, bias=False)",),
    "lstm projected": ("self.layer = nn.LSTM(4, 5, batch_first=True, proj_size=2)",),
    "gru both ways, three layers": (
        "self.layer = nn.GRU(4, 2, num_layers=3, dropout=0.5, bidirectional=True)",
    ),
    "rnn relu": ('self.layer = nn.RNN(4, 2, nonlinearity="relu", bidirectional=True)',),
    "last state of an lstm": ("_, (h, _) = self.layer(x)", "return self.after(h[-1])"),
    "last state of a gru": ("_, h = self.layer(x)",),
    "encoder and decoder": (
        "_, (h, c) = self.encode(x)",
        "x, (h, _) = self.decode(x, (h, torch.tanh(c)))",
    ),
    "cells": (
        "self.lstm = nn.LSTMCell(4, 2)",
        "self.gru = nn.GRUCell(2, 2)",
        "self.rnn = nn.RNNCell(2, 3)",
        "h, c = self.lstm(x1)",
        "h, c = self.lstm(x2, (h, c))",
        "h, _ = self.lstm(x4, (h, c))",
    ),
    "cells from zeros": (
        'self.rnn = nn.RNNCell(2, 3, nonlinearity="relu", bias=False)',
        "h, c = self.lstm(x1, (y, y))",
    ),
    "list": ("x, _ = self.layers[1](x)",),
}


@pytest.mark.parametrize("name", NETS)
def test_the_source_reads_like_the_original(name: str) -> None:
    module = randomised(NETS[name]())
    compiled = compile(module, X)
    lines = [line.strip() for line in compiled.source.splitlines()]
    for line in LINES.get(name, ()):
        assert line in lines, compiled.source
    assert ("torch.lstm" in compiled.source) == (name == "unbatched")
    assert list(compiled.slim.state_dict()) == list(module.state_dict())
    again = trace.run(compiled.slim, (X,))
    stored = {**again.weights}
    assert emit.run(again.graph, class_name="Slim", header="a test", weights=stored) == (
        compiled.source
    )


class Wrapped(nn.Module):
    """Classes of one shape around recurrent modules of several widths."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Layered(nn.LSTM(8, 5)), Layered(nn.LSTM(8, 7))
        self.third = Layered(nn.LSTM(8, 7, num_layers=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x) + self.third(x)


def test_one_class_takes_what_differs() -> None:
    module = randomised(Wrapped())
    source = prunec.compile(
        "prune channels { score random(seed=0) }\ntarget params <= 70%\nrepair none\n",
        model=module,
        args=(X,),
    ).source
    assert source.count("class ") == 2
    assert "num_layers=num_layers" in source or "num_layers=layers" in source, source


class Chain(nn.Module):
    """Numbered children that look like a chain, but for what a layer returns."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.GRU(6, 5))
        self.add_module("1", nn.GRU(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x, _ = layer(x)
        return x


class Tied(nn.Module):
    """Two layers that share a weight, one called twice; frozen weights stay frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.GRU(6, 6), nn.GRU(6, 6)
        self.two.weight_hh_l0 = self.one.weight_hh_l0
        self.two.bias_ih_l0.requires_grad_(False)
        self.after = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.one(x)
        y, _ = self.two(y, h)
        return self.after(self.one(y)[0])


@pytest.mark.parametrize("build", [Chain, Tied, lambda: nn.Sequential(Chain(), nn.Linear(4, 2))])
def test_unusual_models_stay_what_they_are(build: Callable[[], nn.Module]) -> None:
    module = randomised(build())
    compiled = compile(module, X, keep=0.6)
    assert compiled.check().equal
    assert list(compiled.slim.state_dict()) == list(module.state_dict())
    trains = {name: p.requires_grad for name, p in module.named_parameters()}
    assert {name: p.requires_grad for name, p in compiled.slim.named_parameters()} == trains


@pytest.mark.parametrize("score", ["l2", "taylor", "obs"])
@pytest.mark.parametrize("repair", ["none", "least_squares"])
def test_end_to_end(score: str, repair: str) -> None:
    module = randomised(NETS["lstm both ways, two layers"]())
    data = [(torch.randn(4, 4, 6), torch.randint(3, (4, 4))) for _ in range(2)]
    compiled = prunec.compile(
        f"target macs <= 60%\nprune channels {{ score {score} }}\nrepair {repair}\n",
        model=module,
        args=(X,),
        calibrate=data,
    )
    assert not compiled.report.diagnostics
    assert compiled.module(torch.randn(3, 4, 6)).shape == (3, 4, 3)
