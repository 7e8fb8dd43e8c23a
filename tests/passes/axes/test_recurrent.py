"""Recurrent layers and cells: one width for all layers and directions, and what may be removed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunec import trace
from prunec.diagnostics import PruneError
from prunec.ir.axis import atoms, members
from prunec.ir.graph import Graph, Input, Node, Ref, TensorType, Weight, WeightRef
from prunec.ir.group import Axes, Group
from prunec.passes import axes, cost, group
from tests.check.recurrent_nets import Cells, Coder, Last, Layered, X

LAYERS = (
    nn.LSTM(8, 5, num_layers=2, bidirectional=True),
    nn.LSTM(8, 9, num_layers=2, bidirectional=True, proj_size=4, bias=False),
    nn.GRU(8, 5, num_layers=3),
    nn.RNN(8, 5, bidirectional=True),
    nn.RNN(8, 5, nonlinearity="relu", bias=False),
)


def infer(module: nn.Module, *args: Tensor) -> tuple[Axes, dict[str, Group]]:
    graph = trace.run(module.eval(), args or (X,)).graph
    solved = axes.run(graph)
    return solved, {g.name: g for g in group.run(graph, solved)}


def reasons(solved: Axes) -> str:
    return " ".join(why.reason for why in solved.frozen.values())


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_weight_of_a_layer_carries_its_one_width(layer: Any) -> None:
    _, groups = infer(Layered(layer))
    assert all(g.exact for g in groups.values())
    assert groups["before"].consumers == ("layer",)
    found = [g for g in groups.values() if "layer" in g.producers]
    assert sorted(g.size for g in found) == sorted({layer.hidden_size, layer.proj_size} - {0})
    own = {p.weight for g in found for p in g.places if p.weight.startswith("layer.")}
    assert own == {f"layer.{name}" for name, _ in layer.named_parameters()}
    assert found[-1].consumers == ("layer", "after")


def test_a_unit_is_a_row_of_every_gate_and_a_column_of_the_state() -> None:
    _, groups = infer(Layered(nn.LSTM(8, 5, batch_first=True)))
    where = {
        (p.weight, p.dim): members(p.axis, groups["layer"].atom)[2].tolist()
        for p in groups["layer"].places
    }
    assert where["layer.weight_ih_l0", 0] == [2, 7, 12, 17]
    assert where["layer.weight_hh_l0", 0] == [2, 7, 12, 17]
    assert where["layer.bias_hh_l0", 0] == [2, 7, 12, 17]
    assert where["layer.weight_hh_l0", 1] == [2]
    assert where["after.weight", 1] == [2]
    roles = {(p.weight, p.dim): p.role for p in groups["layer"].places}
    assert roles["layer.weight_hh_l0", 0] == "produce"
    assert roles["layer.weight_hh_l0", 1] == "consume"


def test_what_reads_both_directions_reads_a_unit_twice() -> None:
    _, groups = infer(Layered(nn.GRU(8, 5, num_layers=2, bidirectional=True)))
    found = {
        (p.weight, p.dim): members(p.axis, groups["layer"].atom)[1].tolist()
        for p in groups["layer"].places
    }
    assert found["after.weight", 1] == [1, 6]
    assert found["layer.weight_ih_l1_reverse", 1] == [1, 6]
    assert found["layer.weight_ih_l1_reverse", 0] == [1, 6, 11]


def test_a_projection_stays_narrower_than_its_cell() -> None:
    _, groups = infer(Layered(nn.LSTM(8, 9, proj_size=4)))
    assert sorted((g.size, g.least) for g in groups.values()) == [(4, 1), (8, 1), (9, 5)]


def test_states_couple_what_hands_them_on() -> None:
    _, groups = infer(Coder())
    assert set(groups) == {"{encode,decode,more}"}
    assert ("start", 2) in {(p.weight, p.dim) for g in groups.values() for p in g.places}


def test_cells_in_a_loop_are_one_group_each() -> None:
    _, groups = infer(Cells(False))
    assert {name: g.size for name, g in groups.items()} == {
        "before": 8,
        "lstm": 5,
        "gru": 4,
        "rnn": 7,
    }
    assert groups["gru"].consumers == ("gru", "rnn")


def test_a_returned_state_freezes_the_width() -> None:
    class Returned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(6, 5)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            _, (h, _) = self.layer(x)
            return (h,)

    solved, groups = infer(Returned())
    assert not groups
    assert "returns" in reasons(solved)


def test_layers_samples_and_steps_stay() -> None:
    solved, _ = infer(Last(nn.LSTM(6, 5, num_layers=2)))
    assert "a layer or direction" in reasons(solved)

    class Folded(nn.Module):
        """Channels as samples, or as steps."""

        def __init__(self, steps: bool) -> None:
            super().__init__()
            self.before = nn.Linear(6, 4)
            self.layer = nn.GRU(1, 3, batch_first=steps)
            self.after = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.after(self.layer(self.before(x).flatten(0, 1)[:, :, None])[0])

    for steps in (True, False):
        solved, groups = infer(Folded(steps))
        assert "before" not in groups
        assert ("recurrence" if steps else "a sequence of its own") in reasons(solved)


def test_a_packed_sequence_is_refused_with_its_reason() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(6, 5, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 3]), batch_first=True)
            return self.layer(packed)[1]

    with pytest.raises(PruneError, match="P0310"):
        infer(Packed())
    shapes = {"data": (7, 6), "batch_sizes": (4,), "hx": (1, 2, 5)}
    inputs = tuple(Input(name, TensorType(shape, "float32")) for name, shape in shapes.items())
    weights = tuple(
        Weight(f"w{k}", TensorType(shape, "float32"), "parameter")
        for k, shape in enumerate(((15, 6), (15, 5)))
    )
    params = tuple(WeightRef(w.name) for w in weights)
    args = (*(Ref(name) for name in shapes), params, False, 1, 0.0, False, False)
    made = (TensorType((7, 5), "float32"), TensorType((1, 2, 5), "float32"))
    node = Node("y", "aten.gru.data", args, (), made)
    last = Node("z", "getitem", (Ref("y"), 0), (), made[0])
    solved = axes.run(Graph("g", (), inputs, weights, (node, last), Ref("z")))
    assert "packed sequence" in reasons(solved)
    assert {a.id for dims in solved.weights.values() for d in dims for a in atoms(d)} <= set(
        solved.frozen
    )


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_multiply_adds_are_those_of_every_matrix_at_every_step(layer: Any) -> None:
    graph = trace.run(Layered(layer).eval(), (torch.randn(4, 1, 6),)).graph
    found = cost.run(graph, axes.run(graph))
    matrices = sum(p.numel() for p in layer.parameters() if p.dim() == 2)
    wide = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    steps = found.total("macs") // (6 * 8 + matrices + wide * 3)
    assert found.total("macs") == steps * (6 * 8 + matrices + wide * 3) > 0


def test_multiply_adds_of_cells() -> None:
    graph = trace.run(Cells(False).eval(), (X,)).graph
    found = cost.run(graph, axes.run(graph))
    step = 6 * 8 + 4 * 5 * (8 + 5) + 3 * 4 * (5 + 4) + 7 * (4 + 7)
    assert found.total("macs") == 4 * step + 7 * 3


CELLS = {
    "lstm": (torch.lstm_cell, 4),
    "gru": (torch.gru_cell, 3),
    "rnn_tanh": (torch.rnn_tanh_cell, 1),
    "rnn_relu": (torch.rnn_relu_cell, 1),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_unit_whose_state_nobody_reads_reaches_itself_alone(name: str) -> None:
    """The claim behind ``weight_hh[g*h, h]``, by experiment: with its column zero, changing a
    unit's rows, its biases and its state changes the state of that unit and of no other.
    """
    cell, gates = CELLS[name]
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    unit, wide = 2, 5
    x, weights = drawn(3, 4), [drawn(gates * wide, 4), drawn(gates * wide, wide)]
    weights += [drawn(gates * wide), drawn(gates * wide)]
    weights[1][:, unit] = 0
    states = [drawn(3, wide) for _ in range(2 if name == "lstm" else 1)]
    rows = range(unit, gates * wide, wide)

    def run(states: list[Tensor], *weights: Tensor) -> tuple[Tensor, ...]:
        found = cell(x, states if len(states) > 1 else states[0], *weights)  # type: ignore[operator]
        return found if isinstance(found, tuple) else (found,)

    before = run(states, *weights)
    changed = [
        w.index_add(0, torch.tensor(list(rows)), 1 + drawn(gates, *w.shape[1:]).abs())
        for w in weights
    ]
    changed[1][:, unit] = 0
    moved = [s.index_add(1, torch.tensor([unit]), 1 + drawn(3, 1).abs()) for s in states]
    for old, new in zip(before, run(moved, *changed), strict=True):
        different = (old != new).any(0).tolist()
        assert different == [k == unit for k in range(wide)]
