"""Activations: closed forms, and the storages that are alive when graphs really run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import trace
from prunec.ir.plan import Plan
from prunec.passes import axes, blocks, cost, drop, group, layers, liveness, shrink
from prunec.passes.cost import Costs
from prunec.passes.liveness import Liveness
from prunec.trace import Traced
from tests.passes import live
from tests.passes.residual import Parallel, PostNorm, ResNet, Transformer, spread

BYTES = 4  # of a float32


def traced(module: nn.Module, *args: Tensor) -> Traced:
    return trace.run(module.eval(), args)


def costs(found: Traced) -> Costs:
    solved = axes.run(found.graph)
    return cost.run(found.graph, solved, group.run(found.graph, solved))


class Calls(nn.Module):
    """A function of its input as a module."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def both(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x.relu()
    return y, y.sum(1)


def slices(x: Tensor) -> Tensor:
    y = x.relu()
    left, _ = y.chunk(2, 1)
    return left.sigmoid().tanh()


# x: float[N, 3, 4], 12 elements of one sample.
CLOSED_FORMS: dict[str, tuple[Callable[[Tensor], object], int]] = {
    "inputs stay, whoever reads them": (lambda x: x.relu().tanh().sigmoid(), 12 + 12 + 12),
    "a view owns nothing": (lambda x: x.view(-1, 12).transpose(0, 1), 12),
    "a view keeps its base": (lambda x: x.relu()[:, 0].tanh().sigmoid(), 12 + 12 + 4),
    "a sum reads both": (lambda x: (y := x.relu()) + y.tanh(), 12 + 3 * 12),
    "outputs stay": (both, 12 + 12 + 4),
    "a part keeps the whole": (slices, 12 + 12 + 8),
    "a reshape that must copy": (lambda x: x.relu().transpose(1, 2).reshape(-1, 12), 12 + 24),
    "a reshape that need not": (lambda x: x.relu().reshape(-1, 12), 12 + 12),
    "what nothing reads": (lambda x: (x.repeat(1, 5, 1), x.relu())[1], 12 + 12),
    "dropout in eval mode": (lambda x: F.dropout(x.relu(), 0.5, False).tanh(), 12 + 24),
    "other dtypes": (lambda x: (x > 0).to(torch.float64).sum(1), 12 + 24 + 8),
    "no operator at all": (lambda x: x, 12),
    "expansion": (lambda x: x.sum(1, keepdim=True).expand(-1, 99, -1).relu(), 12 + 4 + 4 * 99),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms(name: str) -> None:
    function, elements = CLOSED_FORMS[name]
    found = traced(Calls(function), torch.randn(2, 3, 4))
    assert costs(found).total("activations") == BYTES * elements


class Joined(nn.Module):
    """Three branches, concatenated; the first is split again later, and one part returned."""

    def __init__(self, a: int = 6, b: int = 4) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, a, 3, padding=1), nn.Conv2d(a, b, 1)
        self.norm = nn.BatchNorm2d(a + b)
        self.c = nn.Conv2d(a + b, 5, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.a(x).relu()
        z = torch.cat([y, self.b(y)], 1)
        return self.c(self.norm(z)), z[:, :1]


class Shapes(nn.Module):
    """Attention by hand: views, permutations, copies, a softmax, an embedding of no batch."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(6, 3 * width), nn.Linear(width, 6)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).reshape(n, t, -1))


class Remembered(nn.Module):
    """An LSTM of which the last states are read, and the hidden states of all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.lstm(x)
        return self.head(y[:, -1]), h


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "joined": (Joined, (3, 6, 5)),
    "shapes": (Shapes, (7, 6)),
    "remembered": (Remembered, (7, 6)),
    "resnet": (ResNet, (3, 8, 8)),
    "transformer": (Transformer, (5, 4)),
    "parallel": (Parallel, (3,)),
}


def example(name: str) -> tuple[nn.Module, Tensor]:
    make, shape = NETS[name]
    torch.manual_seed(0)
    return spread(make()), torch.randn(2, *shape)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.75])
def test_the_peak_is_that_of_a_real_run_dense_and_slim(name: str, share: float) -> None:
    module, x = example(name)
    found = traced(module, x)
    solved = axes.run(found.graph)
    groups = group.run(found.graph, solved)
    width = {g.name: max(2, g.least, round(share * g.size)) for g in groups}
    plan = Plan({name: tuple(range(kept)) for name, kept in width.items()})
    slim = shrink.run(found.graph, found.weights, solved, groups, plan)
    kept = {g.atom.id: width[g.name] for g in groups}
    total = cost.run(found.graph, solved, groups).total("activations", kept)
    assert total == live.peak(slim.graph, slim.weights, (x,))


@pytest.mark.parametrize("name", NETS)
def test_every_point_is_what_is_alive_there(name: str) -> None:
    module, x = example(name)
    found = traced(module, x)
    spans = liveness.run(found.graph, axes.run(found.graph))
    real = live.alive(found.graph, found.weights, (x,))
    assert list(real.values()) == [bytes_at(spans, p) for p in range(len(found.graph.nodes))]


def bytes_at(found: Liveness, point: int) -> int:
    here = [s for s in found.spans if s.first <= point <= s.last]
    (total,) = Liveness(
        (found.points[point],), tuple(_at_zero(s) for s in here), found.sizes
    ).peaks(atoms=())
    return total[()]


def _at_zero(span: liveness.Span) -> liveness.Span:
    return liveness.Span(0, 0, span.size)


@pytest.mark.parametrize(("name", "inexact"), [("resnet", 0), ("transformer", 0), ("parallel", 6)])
def test_without_blocks_a_total_is_never_less_and_what_remains_is_exact(
    name: str, inexact: int
) -> None:
    """Parallel branches share a norm, and their sum is part of another sum."""
    module, x = example(name)
    found = traced(module, x)
    solved = axes.run(found.graph)
    whole = blocks.run(found.graph, solved)
    costs = cost.run(found.graph, solved, whole)
    more = 0
    for mask in range(1, 2 ** len(whole)):
        gone = [b for k, b in enumerate(whole) if mask >> k & 1]
        left = drop.run(found.graph, [branch for b in gone for branch in b.branches])
        real = live.peak(left, found.weights, (x,))
        widths = {b.atom.id: 0 for b in gone}
        assert costs.remaining("activations", widths) == real
        assert costs.total("activations", widths) >= real
        more += costs.total("activations", widths) > real
    assert more == inexact


class Saved(nn.Module):
    """A residual stream that is read again at the end, before the first and after each branch."""

    def __init__(self, width: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.branches = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width * (depth + 1), 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = [self.stem(x)]
        for branch in self.branches:
            found.append(found[-1] + branch(found[-1]))
        return self.head(torch.cat(found, -1)), *found


def test_streams_that_are_kept_become_one() -> None:
    module, x = Saved().eval(), torch.randn(2, 3)
    found = traced(module, x)
    solved = axes.run(found.graph)
    whole = blocks.run(found.graph, solved)
    assert len(whole) == 3
    costs = cost.run(found.graph, solved, whole)
    for mask in range(2 ** len(whole)):
        gone = [b for k, b in enumerate(whole) if mask >> k & 1]
        left = drop.run(found.graph, [branch for b in gone for branch in b.branches])
        real = live.peak(left, found.weights, (x,))
        assert costs.total("activations", {b.atom.id: 0 for b in gone}) == real
        assert real == BYTES * (3 + 4 * (4 - len(gone)) + 16 + 2)


def test_a_layer_and_its_blocks_are_two_ways_to_lose_the_same() -> None:
    module, x = example("transformer")
    found = traced(module, x)
    solved = axes.run(found.graph)
    whole = blocks.run(found.graph, solved)
    all_ = (*whole, *layers.run(found.graph, solved, whole))
    costs = cost.run(found.graph, solved, all_)
    layer = next(g for g in all_ if g.kind == "layers")
    inside = [b for b in whole if b.name.startswith(layer.producers[0])]
    by_layer = costs.total("activations", {layer.atom.id: 0})
    assert by_layer == costs.total("activations", {b.atom.id: 0 for b in inside})
    left = drop.run(found.graph, layer.branches)
    assert by_layer == live.peak(left, found.weights, (x,))


def test_a_stream_that_a_norm_follows_goes_too() -> None:
    torch.manual_seed(0)
    module, x = spread(PostNorm()), torch.randn(2, 3)
    found = traced(module, x)
    solved = axes.run(found.graph)
    (first, *_) = whole = blocks.run(found.graph, solved)
    left = drop.run(found.graph, first.branches)
    total = cost.run(found.graph, solved, whole).total("activations", {first.atom.id: 0})
    assert total == live.peak(left, found.weights, (x,))


def test_a_scope_is_the_peak_at_its_nodes() -> None:
    module, x = example("transformer")
    found = traced(module, x)
    real = live.alive(found.graph, found.weights, (x,))
    total = costs(found).total
    for path in ("layers.0", "layers.1.mlp", "layers.2.attn.qkv", "head", ""):
        inside = [
            real[n.name]
            for n in found.graph.nodes
            if any(c.path == path or c.path.startswith(f"{path}.") for c in n.scope) or not path
        ]
        assert total("activations", scope=frozenset({path})) == max(inside)
    two = frozenset({"layers.0", "head"})
    assert total("activations", scope=two) == max(
        total("activations", scope=frozenset({path})) for path in two
    )


def test_a_scope_whose_nodes_are_gone_costs_nothing() -> None:
    module, x = example("transformer")
    found = traced(module, x)
    solved = axes.run(found.graph)
    whole = blocks.run(found.graph, solved)
    costs = cost.run(found.graph, solved, whole)
    (mlp,) = (b for b in whole if b.producers == ("layers.1.mlp",))
    scope = frozenset({"layers.1.mlp"})
    assert costs.total("activations", scope=scope) > 0
    assert costs.total("activations", {mlp.atom.id: 0}, scope) == 0
    assert costs.remaining("activations", {mlp.atom.id: 0}, scope) == 0


def test_points_that_matter_are_few_and_their_largest_is_the_peak() -> None:
    module, x = example("transformer")
    found = traced(module, x)
    made = costs(found)
    sums = made.functions("activations")
    assert 1 < len(sums) < len(found.graph.nodes) / 4
    dense = made.total("activations")
    assert made.functions("activations", above=dense) == ({},)
    near = made.functions("activations", above=dense - 1)
    assert near
    assert set(map(str, near)) <= set(map(str, sums))


def test_a_width_of_one_counts_a_copy_that_is_a_view_then() -> None:
    class Copies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(2, 4, 1), nn.Conv1d(12, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.b(y.transpose(1, 2).reshape(y.shape[0], 12, 1))

    x = torch.randn(2, 2, 3)
    found = traced(Copies(), x)
    solved = axes.run(found.graph)
    (only,) = (g for g in group.run(found.graph, solved) if g.size == 4)
    costs = cost.run(found.graph, solved, (only,))
    for width, copied in ((2, 1), (1, 0)):
        plan = Plan({only.name: tuple(range(width))})
        slim = shrink.run(found.graph, found.weights, solved, (only,), plan)
        real = live.peak(slim.graph, slim.weights, (x,))
        assert costs.total("activations", {only.atom.id: width}) >= real
        assert real == BYTES * (6 + 3 * width * (1 + copied) + (0 if copied else 3))
