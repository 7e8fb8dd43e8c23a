"""Weights, memory and channels: closed forms, in scopes, and without blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunec import trace
from prunec.ir.group import Group
from prunec.passes import axes, blocks, cost, group
from prunec.passes.cost import Costs, Stored
from prunec.passes.monomials import evaluate, folded, undominated
from prunec.passes.polynomial import Monomials
from tests.passes.residual import Transformer, spread

METRICS: tuple[cost.Metric, ...] = (
    *("macs", "params", "weights", "activations", "memory", "channels"),
)


class Net(nn.Module):
    """Parameters of two dtypes, a batch norm, a tied matrix, a buffer of each sort."""

    def __init__(self, wide: int = 8) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, wide), nn.Linear(4, wide)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(wide)
        self.low = nn.Linear(wide, 3).half()
        self.register_buffer("scale", torch.rand(wide), persistent=False)
        self.register_buffer("step", torch.tensor(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.a(x) + self.b(x)) * self.scale
        low: Tensor = self.low(y.half())
        return low + self.step


def solved(module: nn.Module, x: Tensor, stored: Stored | None = None) -> tuple[Costs, Group]:
    graph = trace.run(module.eval(), (x,)).graph
    found = axes.run(graph)
    groups = group.run(graph, found)
    wide = max(groups, key=lambda g: g.size)
    return cost.run(graph, found, groups, stored), wide


@pytest.mark.parametrize("wide", [8, 5, 1])
def test_weights_are_the_bytes_of_all_tensors_tied_ones_once(wide: int) -> None:
    costs, only = solved(Net(), torch.randn(2, 4))
    slim = Net(wide)
    tensors = {id(t): t for t in (*slim.parameters(), *slim.buffers())}
    expected = sum(t.numel() * t.element_size() for t in tensors.values())
    assert costs.total("weights", {only.atom.id: wide}) == expected


def test_weights_in_the_file_have_a_header_and_a_scope_has_none() -> None:
    stored = Stored(frozenset({"a.weight", "a.bias", "norm.num_batches_tracked"}), 99)
    costs, only = solved(Net(), torch.randn(2, 4), stored)
    assert costs.total("weights") == 4 * (8 * 4 + 8) + 8 + 99
    assert costs.total("weights", scope=frozenset({"a"})) == 4 * (8 * 4 + 8)
    assert costs.total("weights", {only.atom.id: 1}, frozenset({"b"})) == 4 * 4
    assert costs.total("weights", scope=frozenset({""})) == 4 * (8 * 4 + 8) + 8


def test_memory_is_weights_and_activations() -> None:
    module = spread(Transformer())
    costs, only = solved(module, torch.randn(2, 5, 4))
    for widths in ({}, {only.atom.id: 3}):
        for scope in (None, frozenset({"layers.1"}), frozenset({"layers.0.attn", "head"})):
            parts = [costs.total(m, widths, scope) for m in ("weights", "activations")]
            assert costs.total("memory", widths, scope) == sum(parts)
    peaks = costs.functions("memory", above=costs.total("memory") - 1)
    assert max(evaluate(p, costs.sizes) for p in peaks) == costs.total("memory")
    assert len(peaks) < len(costs.functions("memory"))


def test_channels_are_the_widths_of_what_may_lose_some() -> None:
    graph = trace.run(spread(Transformer()), (torch.randn(2, 5, 4),)).graph
    found = axes.run(graph)
    groups = group.run(graph, found)
    whole = blocks.run(graph, found)
    mlps = tuple(g for g in groups if "mlp" in g.name)
    costs = cost.run(graph, found, (*mlps, *whole))
    assert [g.size for g in mlps] == [16, 16, 16]
    assert costs.total("channels") == 48
    first = mlps[0]
    gone = {b.atom.id: 0 for b in whole}
    assert costs.total("channels", {first.atom.id: 5, **gone}) == 37
    assert costs.remaining("channels", {first.atom.id: 5, **gone}) == 37
    scope = frozenset({"layers.0", "layers.2.mlp.fc1"})
    assert costs.total("channels", {first.atom.id: 5}, scope) == 21
    assert costs.total("channels", scope=frozenset({"layers.0.attn"})) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_cost_is_the_largest_of_its_functions_and_depends_on_its_atoms(
    metric: cost.Metric,
) -> None:
    costs, _ = solved(spread(Transformer()), torch.randn(2, 5, 4))
    rng = np.random.default_rng(0)
    for scope in (None, frozenset({"layers.1.mlp"})):
        atoms = costs.atoms(metric, scope)
        for _ in range(20):
            widths = {a: int(rng.integers(1, n + 1)) for a, n in costs.sizes.items()}
            found = [evaluate(f, widths) for f in costs.functions(metric, scope)]
            total = costs.total(metric, widths, scope)
            assert total == max(found)
            others = {a: n if a in atoms else 1 for a, n in widths.items()}
            assert costs.total(metric, others, scope) == total
            unknowns = sorted(costs.sizes)
            compiled = costs.compiled(metric, unknowns, scope, times=2)
            point = np.array([widths[a] for a in unknowns])
            assert max(c.value(point) for c in compiled) == 2 * total


def test_without_blocks_every_cost_is_that_of_what_is_left() -> None:
    graph = trace.run(spread(Transformer()), (torch.randn(2, 5, 4),)).graph
    found = axes.run(graph)
    whole = blocks.run(graph, found)
    costs = cost.run(graph, found, whole)
    gone = {b.atom.id: 0 for b in whole if "mlp" in b.name}
    for metric in METRICS[:5]:
        left = costs.remaining(metric, gone)
        assert left <= costs.total(metric, gone) <= costs.total(metric)
    attn = spread(Transformer())
    left = sum(p.numel() for n, p in attn.named_parameters() if "mlp" not in n)
    norms = sum(p.numel() for n, p in attn.named_parameters() if "norm2" in n or "gamma" in n)
    assert costs.remaining("weights", gone) == 4 * (left - norms)


def test_sums_that_matter_have_the_largest_value_of_all() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sums = [_random(rng) for _ in range(int(rng.integers(1, 12)))]
        kept = undominated(sums)
        assert kept
        assert all(k in sums for k in kept)
        for _ in range(10):
            widths = {a: int(rng.integers(0, 6)) for a in range(4)}
            assert max(evaluate(k, widths) for k in kept) == max(evaluate(s, widths) for s in sums)
        for k in kept:
            above = [o for o in kept if o is not k and all(o.get(a, 0) >= n for a, n in k.items())]
            assert not above


def test_folded_atoms_are_full() -> None:
    total: Monomials = {(0, 1): 2, (1, 1): 3, (0,): 5, (): 7}
    assert folded(total, {0: 10, 1: 100}, {1}) == {(1,): 20, (1, 1): 3, (): 57}


def _random(rng: np.random.Generator) -> Monomials:
    atoms = [(), (0,), (1,), (2,), (3,), (0, 1), (2, 3)]
    return {a: int(rng.integers(1, 4)) for a in atoms if rng.random() < 0.4}
