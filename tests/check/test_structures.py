"""Small structures of real models, each on the whole road: what goes, and that the twin agrees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunec import trace
from tests.check.build import compile


class Fused(nn.Module):
    """Queries, keys and values of one matrix; batch and heads merged by a product of sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 3 * 24)
        self.proj = nn.Linear(24, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 4, 3, 6).unbind(3)
        q, k, v = (y.transpose(1, 2).reshape(n * 4, -1, 6) for y in (q, k, v))
        scores = (torch.bmm(q, k.mT) / 2.5).view(n, 4, t, -1).softmax(-1)
        y = torch.bmm(scores.view(n * 4, t, -1), v).view(n, 4, t, 6)
        return self.proj(y.transpose(1, 2).reshape(n, t, 24))


def test_a_product_of_a_dynamic_size_and_heads_is_computed_anew() -> None:
    found = compile(Fused(), torch.randn(2, 5, 12))
    assert found.check().equal
    assert sorted(g.size for g in found.groups) == [4, 6]


class MultiQuery(nn.Module):
    """One key and one value head at the end, taken by an index list (Falcon)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 6 * 5)
        self.proj = nn.Linear(20, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        qkv = self.qkv(x).view(n, t, 6, 5)
        q, k, v = (y.transpose(1, 2) for y in (qkv[:, :, :-2], qkv[:, :, [-2]], qkv[:, :, [-1]]))
        y = torch.softmax(q @ k.mT, -1) @ v
        return self.proj(y.transpose(1, 2).reshape(n, t, 20))


def test_an_index_by_a_constant_run_of_positions_is_a_slice() -> None:
    found = compile(MultiQuery(), torch.randn(2, 3, 12))
    assert found.check().equal
    assert "heads" in {g.kind for g in found.groups}
    assert all(node.op != "aten.index.Tensor" for node in found.graph.nodes)


class PartlyRotary(nn.Module):
    """The part of each head that is not rotated is empty (Phi-3 with a full rotary size)."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(6, 8)
        self.o = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x)
        turned, rest = q[..., :8], q[..., 8:]
        first, second = turned.chunk(2, -1)
        return self.o(torch.cat([torch.cat([-second, first], -1), rest], -1) * q)


def test_an_empty_slice_freezes_nothing() -> None:
    found = compile(PartlyRotary(), torch.randn(2, 6))
    assert found.check().equal
    assert [g.size for g in found.groups] == [4]


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.b = nn.Linear(5, 8)
        self.o = nn.Linear(8, 3)

    def forward(self, x: Tensor, flag: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        return self.o(torch.min(self.a(x), torch.max(self.b(y), self.a(x))))


def test_keywords_may_come_in_any_order_and_min_of_two_tensors_is_element_wise() -> None:
    found = compile(Pairs(), y=torch.randn(2, 5), x=torch.randn(2, 6))
    assert [tuple(t.shape) for t in found.example] == [(2, 6), (2, 5)]
    assert found.check().equal
    assert [g.size for g in found.groups] == [8]


class Hooked(nn.Linear):
    """Notes on its first call that it has hooked itself, as transformers' models do."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "hooked"):
            self.hooked = True
            self.seen: list[Tensor] = []
            self.register_forward_hook(lambda *_: None)
        self.cache = super().forward(x)
        return self.cache


def test_tracing_leaves_notes_but_no_tensors_in_a_module() -> None:
    module = Hooked(3, 4)
    trace.run(module, (torch.randn(2, 3),))
    trace.run(module, (torch.randn(2, 3),))
    assert module.hooked
    assert not hasattr(module, "cache")
    assert len(module._forward_hooks) == 1


class Encoding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj(x)


class Step(nn.Module):
    def __init__(self, shared: Encoding) -> None:
        super().__init__()
        self.cpe = shared
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.cpe(x))


class SharedThrice(nn.Module):
    """One module, with modules of its own, that the model and two of its parts hold (CoaT)."""

    def __init__(self) -> None:
        super().__init__()
        self.cpe1 = Encoding()
        self.stem = nn.Linear(3, 8)
        self.blocks = nn.ModuleList([Step(self.cpe1), Step(self.cpe1)])
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_a_module_held_in_three_places_stays_one() -> None:
    found = compile(SharedThrice(), torch.randn(2, 3))
    assert found.check().equal
    blocks = found.slim.get_submodule("blocks")
    assert blocks[0].cpe is blocks[1].cpe  # type: ignore[index]


class Shifted(nn.Module):
    """A crop on one side and a pad on the other keep the size, and are no copy (NASNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.path = nn.Sequential()
        self.path.add_module("pad", nn.ZeroPad2d((-1, 1, -1, 1)))
        self.path.add_module("pool", nn.AvgPool2d(1, stride=2, count_include_pad=False))
        self.path.add_module("conv", nn.Conv2d(6, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.path(nn.functional.pad(self.stem(x).relu(), (0, 0, 0, 0)))


def test_padding_that_keeps_the_size_stays() -> None:
    found = compile(Shifted(), torch.randn(2, 3, 9, 9))
    assert found.check().equal
    assert "nn.ZeroPad2d((-1, 1, -1, 1))" in found.source
    assert "F.pad" not in found.source
