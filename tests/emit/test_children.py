"""Loops over all children of a module: only where they are called in turn, each once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tests.emit.test_source import both

LOOP = "for layer in self.children():"


class Numbered(nn.Module):
    """Calls ``fc0``, ``fc1``, ... in some order and gives all that they make."""

    def __init__(self, order: Sequence[int], count: int = 4, further: str = "") -> None:
        super().__init__()
        self.order = order
        for n in range(count):
            self.add_module(f"fc{n}", nn.Linear(4, 4))
        if further:
            self.add_module(further, nn.Linear(4, 4))
        self.further = further

    def forward(self, x: Tensor) -> Tensor:
        y = getattr(self, self.further)(x) if self.further else x
        for n in self.order:
            x = getattr(self, f"fc{n}")(x)
        return torch.tanh(x) + y


class _Sum(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, found: list[Tensor]) -> Tensor:
        return self.linear(torch.cat(found, 1)).relu()


class Dense(nn.Module):
    """A dense block; ``last`` reads one result beside the list."""

    def __init__(self, count: int, last: bool = False) -> None:
        super().__init__()
        self.last = last
        for n in range(count):
            self.add_module(f"layer{n + 1}", _Sum(3 + 2 * n))

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for layer in self.children():
            found.append(layer(found))
        joined = torch.cat(found, 1)
        return joined + found[1].sum() if self.last else joined


def test_calls_in_turn_are_a_loop() -> None:
    source, _ = both(Numbered((0, 1, 2, 3)), torch.randn(3, 4))
    assert source.count(LOOP) == 1


@pytest.mark.parametrize(
    "net",
    [
        Numbered((0, 1, 3, 2)),
        Numbered((0, 1, 2)),
        Numbered((0, 1, 1, 2, 3)),
        Numbered((0, 1, 2), 3),
        Numbered((0, 1, 2, 3), further="other"),
        Numbered((0, 1, 2, 3), further="fc9"),
    ],
    ids=["order", "few", "twice", "short", "other", "further"],
)
def test_other_calls_are_written_one_by_one(net: nn.Module) -> None:
    source, _ = both(net, torch.randn(3, 4))
    assert LOOP not in source


def test_a_shared_child_is_no_child_of_its_own() -> None:
    net = Numbered((0, 1, 2, 3))
    net.fc2 = net.fc0
    source, _ = both(net, torch.randn(3, 4))
    assert LOOP not in source


def test_a_dense_block_is_a_loop() -> None:
    source, model = both(nn.Sequential(Dense(5)), torch.randn(3, 3))
    assert source.count(LOOP) == 1
    assert "features.append(layer(features))" in source
    assert "0.layer5.linear.weight" in model.state_dict()


def test_a_dense_block_with_a_result_of_its_own_is_none() -> None:
    source, _ = both(Dense(5, last=True), torch.randn(3, 3))
    assert LOOP not in source


def test_dense_blocks_share_a_class() -> None:
    net = nn.Sequential(Dense(4), nn.Linear(11, 3), Dense(6), nn.Linear(15, 3), Dense(4))
    source, model = both(net, torch.randn(3, 3))
    assert source.count("(nn.ModuleDict):") == source.count(LOOP) == 1
    assert list(model.state_dict()) == list(net.state_dict())


def test_equal_dense_blocks_make_their_own_layers() -> None:
    net = nn.Sequential(Dense(4), nn.Linear(11, 3), Dense(4))
    source, _ = both(net, torch.randn(3, 3))
    assert "nn.ModuleDict" not in source
    assert source.count(LOOP) == 1


def test_dense_blocks_with_other_numbers_are_classes_of_their_own() -> None:
    class Scaled(Dense):
        def __init__(self, count: int, scale: float) -> None:
            super().__init__(count)
            self.scale = scale

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale

    net = nn.Sequential(Scaled(4, 0.5), nn.Linear(11, 3), Scaled(6, 0.25))
    source, _ = both(net, torch.randn(3, 3))
    assert "nn.ModuleDict" not in source
    assert source.count(LOOP) == 2
