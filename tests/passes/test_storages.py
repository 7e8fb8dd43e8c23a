"""Which values share memory: by torch's own strides, for one sample, without data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import trace
from prunec.ir.graph import Device, Graph
from prunec.passes import storages
from tests import moe


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.register_buffer("table", torch.rand(3, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.layer(x)
        left, right = y.split(3, -1)
        return left, right, self.table[1:], F.dropout(y, 0.5, self.training), y + 1


def graph(module: nn.Module, *args: Tensor) -> Graph:
    return trace.run(module.eval(), args).graph


def test_views_lie_in_their_base_and_weights_in_none() -> None:
    found = graph(Views(), torch.randn(2, 6))
    held = storages.run(found).held
    left, right, table, dropped, added = (held[r.name] for r in found.outputs)
    assert left == right == dropped == held["linear"]
    assert len(left) == 1
    assert table == frozenset()
    assert added.isdisjoint(left)
    assert held[found.inputs[0].name].isdisjoint(left | added)


def test_storages_are_made_in_order_for_the_tensors_of_a_value() -> None:
    class Remembered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y, (_, c) = self.lstm(x)
            return y, c

    found = graph(Remembered(), torch.randn(2, 5, 4))
    made = storages.run(found).made
    lstm = next(n.name for n in found.nodes if "lstm" in n.op)
    assert [at for name, at in made if name == lstm] == [(0,), (1,), (2,)]
    names = [n.name for n in (*found.inputs, *found.nodes)]
    order = [names.index(name) for name, _ in made]
    assert order == sorted(order)


@pytest.mark.parametrize(("batch", "copied"), [("N", False), (None, True)])
def test_strides_are_those_of_one_sample(batch: str | None, copied: bool) -> None:
    """What is a copy for several samples is a view for one; a fixed batch is what it is."""

    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu().transpose(0, 1).contiguous()

    traced = trace.run(Turned().eval(), (torch.randn(3, 5, 2),), dynamic=None if batch else {})
    held = storages.run(traced.graph).held
    (out,) = traced.graph.outputs
    assert (held[out.name] != held["relu"]) == copied


def test_what_depends_on_data_is_fresh() -> None:
    if not hasattr(F, "grouped_mm"):
        pytest.skip("this torch has no torch.nn.functional.grouped_mm")
    x = torch.randn(8, 8).bfloat16()
    found = graph(moe.Grouped(16, 24, 8).bfloat16(), x)
    held = storages.run(found).held
    for node in found.nodes:
        if node.op.startswith("aten._grouped_mm"):
            assert len(held[node.name]) == 1
            assert all(held[node.name].isdisjoint(held[r.name]) for r in node.refs())


def test_a_device_that_is_not_there_is_no_trouble() -> None:
    class Made(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.ones(6, device=x.device)

    found = graph(Made(), torch.randn(2, 6))
    ones = next(n for n in found.nodes if "ones" in n.op)
    kwargs = tuple((k, Device("cuda:0") if k == "device" else v) for k, v in ones.kwargs)
    assert dict(kwargs)["device"] == Device("cuda:0")
    moved = replace(
        found, nodes=tuple(replace(n, kwargs=kwargs) if n is ones else n for n in found.nodes)
    )
    assert storages.run(moved) == storages.run(found)
