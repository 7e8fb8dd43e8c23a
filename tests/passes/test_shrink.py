"""Shrink: weights are selected, counts counted again, and the smaller graph computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import trace
from prunec.ir.plan import Plan
from prunec.passes import axes, execute, group, shrink


def shrunk(module: nn.Module, example: Tensor, keep: dict[str, tuple[int, ...]]) -> shrink.Shrunk:
    traced = trace.run(module.eval(), (example,))
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    assert keep.keys() <= {g.name for g in groups}
    return shrink.run(traced.graph, traced.weights, solved, groups, Plan(keep))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 6)
        self.b = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu())


def test_removing_a_channel_equals_zeroing_what_reads_it() -> None:
    module, x = Mlp(), torch.randn(4, 3)
    small = shrunk(module, x, {"a": (0, 2, 5)})
    assert small.weights["a.weight"].shape == (3, 3)
    assert torch.equal(small.weights["b.weight"], module.b.weight[:, [0, 2, 5]])
    with torch.no_grad():
        module.b.weight[:, [1, 3, 4]] = 0
        torch.testing.assert_close(execute.run(small.graph, small.weights, (x,))[0], module(x))


def test_nothing_removed_is_the_same_graph() -> None:
    module, x = Mlp(), torch.randn(4, 3)
    traced = trace.run(module, (x,))
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    assert shrink.run(traced.graph, traced.weights, solved, groups, Plan({})).graph is traced.graph
    whole = Plan({"a": tuple(range(6))})
    assert shrink.run(traced.graph, traced.weights, solved, groups, whole).graph is traced.graph


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.b = nn.Conv2d(4, 2, 1)
        self.c = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).chunk(2, 1)
        return self.b(left).sum(1) + self.c(right).sum(1)


def test_chunk_becomes_split_where_the_halves_differ() -> None:
    x = torch.randn(2, 3, 4, 4)
    uneven = shrunk(Halves(), x, {"a[0:4]": (0, 1, 3), "a[4:8]": (2,)})
    assert uneven.graph.node["chunk"].op == "aten.split_with_sizes.default"
    assert uneven.graph.node["chunk"].args[1] == (3, 1)
    even = shrunk(Halves(), x, {"a[0:4]": (0, 1), "a[4:8]": (0, 3)})
    assert even.graph.node["chunk"].op == "aten.chunk.default"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(n, t, 8))


def test_attention_keeps_the_scale_of_the_dense_head_size() -> None:
    small = shrunk(Attention(), torch.randn(2, 5, 8), {"qkv head_dim": (0, 1, 3)})
    node = small.graph.node["scaled_dot_product_attention"]
    assert dict(node.kwargs)["scale"] == pytest.approx(0.5)
    assert small.weights["qkv.weight"].shape == (18, 8)
    assert small.graph.node["view"].args[1][2:] == (3, 2, 3)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.adaptive_avg_pool2d(self.a(x), 1).squeeze())


def test_squeeze_leaves_a_channel_axis_that_became_one() -> None:
    x = torch.randn(2, 3, 4, 4)
    small = shrunk(Squeeze(), x, {"a": (2,)})
    assert execute.run(small.graph, small.weights, (x,))[0].shape == (2, 2)


def test_masks_say_what_every_value_kept() -> None:
    small = shrunk(Mlp(), torch.randn(4, 3), {"a": (1, 4)})
    rows, columns = small.kept["b.weight"]
    assert rows is None
    assert np.flatnonzero(columns).tolist() == [1, 4]
    assert [m is None for m in small.values["relu"]] == [True, False]
