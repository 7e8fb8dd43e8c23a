"""Training mode: attention drops out as in the original, and what else is lost is named."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec import trace
from prunec.ir.graph import InTraining

X = torch.randn(3, 5, 8)


def attend(x: Tensor, p: float) -> Tensor:
    x = x.unflatten(-1, (2, 4)).transpose(1, 2)
    return F.scaled_dot_product_attention(x, x, x, dropout_p=p)


class Net(nn.Module):
    """A layer and a function of it; ``drop_prob`` is 0.25."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(5)
        self.function = function
        self.drop_prob = 0.25

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.norm(self.layer(x)))


def codes(found: trace.Traced) -> list[str]:
    return [note.code for note in found.notes]


def chances(found: trace.Traced) -> list[object]:
    nodes = [n for n in found.graph.nodes if "dot_product" in n.op]
    return [n.args[4] if len(n.args) > 4 else dict(n.kwargs).get("dropout_p") for n in nodes]


def test_attention_drops_out_in_training() -> None:
    net = Net(lambda m, x: attend(x, 0.1 if m.training else 0.0))
    found = trace.run(net, (X,))
    assert chances(found) == [InTraining(0.1)]
    assert not codes(found)


def test_attentions_of_one_module_in_their_order() -> None:
    def twice(m: nn.Module, x: Tensor) -> Tensor:
        y = attend(x, 0.1 * m.training)
        return y + attend(x + 1, 0.0) + attend(x + 2, 0.3 * m.training)

    first, second, third = chances(trace.run(Net(twice), (X,)))
    assert (first, third) == (InTraining(0.1), InTraining(0.3))
    assert not second


def test_attention_that_always_drops_out_stays() -> None:
    found = trace.run(Net(lambda m, x: attend(x, 0.5)), (X,))
    assert chances(found) == [0.5]
    assert not codes(found)


@pytest.mark.parametrize("shows", [False, True])
def test_multihead_attention(shows: bool) -> None:
    """Where it returns its weights it drops out by a function that eval mode does not reach."""
    layer = nn.MultiheadAttention(8, 2, dropout=0.25, batch_first=True)

    class Attending(Net):
        def __init__(self) -> None:
            super().__init__(lambda _, x: layer(x, x, x, need_weights=shows)[0])
            self.attention = layer

    found = trace.run(Attending(), (X,))
    assert chances(found) == ([] if shows else [InTraining(0.25)])
    lines = [line for note in found.notes for line in note.notes]
    assert lines == ["MultiheadAttention (`attention`), p up to 0.25"] * shows


def drop_path(m: nn.Module, x: Tensor) -> Tensor:
    return x * x.new_empty(x.shape[0], 1, 1).bernoulli_(0.75) if m.training else x


def noise(m: nn.Module, x: Tensor) -> Tensor:
    return x + torch.rand_like(x) if m.training else x


def skipped(m: nn.Module, x: Tensor) -> Tensor:
    return x if m.training and torch.rand([]) < 0.25 else x * 2


def elsewhere(m: nn.Module, x: Tensor) -> Tensor:
    return (
        F.dropout(F.dropout(x, 0.25, m.training), 0.25)
        if m.training
        else F.dropout(x, 0.25, m.training)
    )


@pytest.mark.parametrize("function", [drop_path, noise, skipped, elsewhere])
def test_what_only_training_draws_is_named(function: Callable[..., Tensor]) -> None:
    (note,) = trace.run(Net(function), (X,)).notes
    assert (note.code, note.severity) == ("P0324", "note")
    assert note.notes == ("Net (the model itself), p up to 0.25",)


def test_modules_of_one_class_are_counted() -> None:
    net = nn.Sequential(*(Net(drop_path) for _ in range(3)))
    (note,) = trace.run(net, (X,)).notes
    assert note.notes == ("Net (`0` and 2 more), p up to 0.25",)


def dropout(m: nn.Module, x: Tensor) -> Tensor:
    return F.dropout2d(F.dropout(x, 0.2, m.training), 0.1, m.training)


def always(m: nn.Module, x: Tensor) -> Tensor:
    return x + torch.rand_like(x)


class Twice(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.detach() * 2

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient * 2


def own_gradient(m: nn.Module, x: Tensor) -> Tensor:
    return Twice.apply(x) if m.training else x * 2


@pytest.mark.parametrize("function", [dropout, always, own_gradient])
def test_no_note_where_nothing_is_lost(function: Callable[..., Tensor]) -> None:
    assert not trace.run(Net(function), (X,)).notes


def straight_through(m: nn.Module, x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def without_gradients(m: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = x * 2
    return x + y


@pytest.mark.parametrize("function", [straight_through, without_gradients])
def test_cut_gradients_are_named(function: Callable[..., Tensor]) -> None:
    assert codes(trace.run(Net(function), (X,))) == ["P0325"]
    frozen = Net(function).requires_grad_(False)
    assert not codes(trace.run(frozen, (X,)))


def test_a_model_that_cannot_train() -> None:
    def refuses(m: nn.Module, x: Tensor) -> Tensor:
        if m.training:
            raise ValueError("no targets")
        return x

    (note,) = trace.run(Net(refuses), (X,)).notes
    assert note.code == "P0326"
    assert "no targets" in note.notes[0]


def looks(m: nn.Module, x: Tensor) -> Tensor:
    """Has a step that stand-ins without values cannot take."""
    return drop_path(m, x) if m.training and x.sum().item() != 0.5 else x


@pytest.mark.parametrize("function", [drop_path, looks])
def test_the_model_and_random_numbers_stay_as_they_were(function: Callable[..., Tensor]) -> None:
    net = Net(function)
    net.norm.eval()
    before = copy.deepcopy(net.state_dict())
    state = torch.random.get_rng_state()
    assert codes(trace.run(net, (X,))) == ["P0324"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert not net.norm.training


def test_a_shared_module_keeps_its_weights() -> None:
    layer = nn.Linear(8, 8)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    trace.run(net, (X,))
    assert net[0].weight is net[2].weight
    assert type(net[0].weight) is nn.Parameter


def test_a_batch_norm_of_one_value() -> None:
    net = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))
    assert not trace.run(net, (torch.randn(1, 8),)).notes
