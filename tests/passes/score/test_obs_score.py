"""The losses of the OBS score are those of the model's output, in one unit for every kind of
group.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunec.passes.batches import Batch
from prunec.passes.execute import run as execute
from prunec.passes.moments import linear
from prunec.passes.score import obs
from prunec.passes.score.sense import Change, measure, sense
from tests.passes.small import Attention, Mlp, Residual, Small, build


def output_change(small: Small, weights: dict[str, Tensor]) -> float:
    """Half the mean squared change of the output per sample."""
    total = 0.0
    for batch in small.batches:
        (new,) = execute(small.graph, weights, batch.inputs)
        (old,) = execute(small.graph, small.weights, batch.inputs)
        total += 0.5 * float((new - old).square().sum())
    return total / sum(b.size for b in small.batches)


def test_in_front_of_the_output_the_loss_is_the_squared_change() -> None:
    small = build(Mlp(), 2000, 4, batches=2)
    (group,) = small.groups
    ranking = obs.run(small.context, damping=1e-6)[group.name]
    (one,) = sense(small.context, frozenset({"fc2.weight"}))["fc2.weight"]
    moments = one.moments.centred().xx[0]
    for count in (2, 3, 4, 6):
        kept = torch.from_numpy(np.sort(ranking.order[count:]))
        old = small.weights["fc2.weight"]
        new = torch.zeros_like(old)
        if len(kept):
            right = (moments @ old.T)[kept]
            new[:, kept] = torch.linalg.solve(moments[kept[:, None], kept], right).T
        mean = one.moments.x[0] / one.moments.n
        bias = small.weights["fc2.bias"] + (old - new) @ mean
        change = output_change(small, small.weights | {"fc2.weight": new, "fc2.bias": bias})
        assert ranking.loss[count] == pytest.approx(change, rel=0.15)


def test_a_measured_change_counts_every_correlation() -> None:
    small = build(Residual(), 500, 3, 6, 6, batches=2)
    node = next(n for n in small.graph.nodes if "conv2.weight" in {r.name for r in n.weight_refs()})
    map = linear(small.graph, node)
    assert map is not None
    step = 1e-4
    weight = -step * small.weights["conv2.weight"]
    found = measure(small.context, [Change(("g", 1), map, weight, None)])["g", 1]
    moved = small.weights | {"conv2.weight": small.weights["conv2.weight"] + weight}
    assert found == pytest.approx(output_change(small, moved), rel=0.15)


def test_a_group_that_only_activations_contract_has_the_loss_of_its_gate() -> None:
    small = build(Attention(), 300, 7, 6)
    group = small.group("{q,k}")
    ranking = obs.run(small.context, damping=1e-2)[group.name]
    channel, step = int(ranking.order[0]), 1e-4
    weights = dict(small.weights)
    for name in ("q.weight", "q.bias"):
        weights[name] = weights[name].clone()
        weights[name][channel] *= 1 + step
    assert ranking.loss[1] == pytest.approx(output_change(small, weights) / step**2, rel=0.5)


def test_what_a_recurrent_cell_reads_is_not_taken_for_a_linear_map() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(4, 6)
            self.rnn = nn.GRU(6, 5, batch_first=True)
            self.head = nn.Linear(5, 3)
            self.side = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.embed(x))
            return self.head(self.rnn(x)[0]) + self.side(x)

    small = build(Recurrent(), 8, 5, 4)
    rankings = obs.run(small.context, damping=1e-2)
    assert set(rankings) == {g.name for g in small.groups}
    for ranking in rankings.values():
        assert ranking.loss[-1] > 0


def test_no_labels_are_needed_and_more_data_is_more_data() -> None:
    small = build(Mlp(), 50, 4)
    assert all(isinstance(b, Batch) and b.labels is None for b in small.batches)
    assert all(r.loss[-1] > 0 for r in obs.run(small.context, damping=1e-2).values())
