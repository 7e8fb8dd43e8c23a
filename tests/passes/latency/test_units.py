"""Units: what is one kind of operator, and what its sizes are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec.passes import axes, latency
from prunec.passes.latency import Units
from prunec.trace import run as trace


class Net(nn.Module):
    """Two convolutions of one kind, at other widths; one of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 20, 3, padding=1)
        self.third = nn.Conv2d(20, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        x = F.relu(self.depthwise(self.third(x)))
        return self.out(x.mean((2, 3)))


def units(net: nn.Module, *args: Tensor) -> Units:
    graph = trace(net.eval(), args).graph
    return latency.run(graph, axes.run(graph))


def test_nodes_of_one_kind_share_a_signature_whatever_their_widths() -> None:
    found = units(Net(), torch.randn(2, 3, 8, 8))
    convolutions = [u for u in found.units if "conv2d" in u.signature]
    first, second, third, depthwise = convolutions
    assert second.signature == third.signature
    assert second.signature == (
        "aten.conv2d.default(float32[1, a, 8, 8], float32[b, a, 3, 3], float32[b], (1, 1), (1, 1))"
    )
    assert "float32[1, 3, 8, 8], float32[a, 3, 3, 3]" in first.signature
    assert depthwise.signature.endswith(
        "float32[a, 1, 3, 3], float32[a], (1, 1), (1, 1), (1, 1), a)"
    )
    assert [len(u.sizes) for u in convolutions] == [1, 2, 2, 1]
    assert third.sizes[0] == second.sizes[1]


def test_sizes_are_those_of_the_model() -> None:
    found = units(Net(), torch.randn(2, 3, 8, 8))
    linear = found.units[-1]
    assert linear.signature == "aten.linear.default(float32[1, a], float32[5, a], float32[5])"
    ((monomial, coefficient),) = linear.sizes[0].items()
    assert (coefficient, found.widths[monomial[0]]) == (1, 8)


def test_a_scope_has_what_its_modules_run() -> None:
    found = units(Net(), torch.randn(2, 3, 8, 8))
    assert [u.node for u in found.within(frozenset({"third"})).units] == [
        u.node for u in found.units if u.owners >= {"third"}
    ]
    assert len(found.within(frozenset({"third"})).units) == 1
    assert found.within(None) == found.within(frozenset({""})) == found


class Heads(nn.Module):
    """A size that is a product, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(6, 8)
        self.k = nn.Linear(6, 10)
        self.out = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.q(x), self.k(x)], dim=1))


def test_a_size_may_be_made_by_several_widths() -> None:
    found = units(Heads(), torch.randn(2, 6))
    last = found.units[-1]
    (size,) = last.sizes
    assert sorted(size.values()) == [1, 1]
    assert sum(found.widths[m[0]] for m in size) == 18


def test_reading_a_size_is_no_unit() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], -1) * 2

    assert all("size" not in u.signature for u in units(Flat(), torch.randn(2, 3, 4)).units)
