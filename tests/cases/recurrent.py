"""Sequences through recurrent layers."""

from __future__ import annotations

from torch import Tensor, nn

from tests.cases.case import Case, sequence


class Lstm(nn.Module):
    """LSTM -> Linear."""

    def __init__(self, layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.rnn = nn.LSTM(12, 16, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(32 if both else 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class Sandwich(nn.Module):
    """Linear -> LSTM -> Linear -> Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.rnn = nn.LSTM(24, 16, batch_first=True)
        self.second = nn.Linear(16, 24)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.rnn(self.first(x).relu())[0]).relu())


class Gru(nn.Module):
    """Linear -> GRU -> its last state -> Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.rnn = nn.GRU(24, 16, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.first(x).relu())[1][-1])


class Elman(nn.Module):
    """Linear -> RNN with tanh -> Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 24)
        self.rnn = nn.RNN(24, 16, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.first(x).relu())[0])


HIDDEN = (("rnn.weight_ih_l0", 0), ("rnn.weight_hh_l0", 0), ("rnn.weight_hh_l0", 1))
INPUT = (("first.weight", 0), ("first.bias", 0), ("rnn.weight_ih_l0", 1))

CASES = {
    "LSTM, linear": Case(Lstm, sequence(), (*HIDDEN, ("rnn.bias_hh_l0", 0), ("head.weight", 1))),
    "LSTM of two layers": Case(lambda: Lstm(2), sequence(), (*HIDDEN, ("rnn.weight_ih_l1", 1))),
    "LSTM in both directions": Case(
        lambda: Lstm(both=True), sequence(), (*HIDDEN, ("head.weight", 1))
    ),
    "linear, LSTM, linear: the hidden size": Case(
        Sandwich, sequence(), (*HIDDEN, ("second.weight", 1))
    ),
    "linear, LSTM, linear: the input size": Case(Sandwich, sequence(), INPUT),
    "GRU, its last state": Case(Gru, sequence(), (*HIDDEN, ("head.weight", 1))),
    "RNN": Case(Elman, sequence(), (*HIDDEN, ("head.weight", 1))),
}
