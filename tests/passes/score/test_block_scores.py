"""Scores of whole blocks against their definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec.diagnostics import PruneError
from prunec.passes import blocks, score
from prunec.passes.score import Context
from prunec.spec import L1, L2, Obs, Random, Score, Taylor, TorchPruning
from tests.passes.small import build


class Gated(nn.Module):
    """Two residual branches, each behind a gate that the tests can move."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 4)
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor, a: float = 1.0, b: float = 1.0) -> Tensor:
        x = self.first(x)
        x = x + a * torch.tanh(self.a(x))
        return self.last(x + b * torch.tanh(self.b(x)))  # type: ignore[no-any-return]


class Plain(Gated):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        x = self.first(x)
        x = x + torch.tanh(self.a(x))
        return self.last(x + torch.tanh(self.b(x)))  # type: ignore[no-any-return]


def setting() -> tuple[Gated, Context]:
    """A gated module, and the context of the same module without gates."""
    small = build(Plain(), 7, 3, classes=4)
    gated = Gated().double().eval()
    gated.load_state_dict(small.module.state_dict())
    whole = blocks.run(small.graph, small.axes)
    assert [g.name for g in whole] == ["a block", "b block"]
    context = replace(small.context, groups=whole)
    return gated, context


def losses(method: Score, context: Context) -> list[float]:
    found = score.run(method, context)
    assert all(r.loss[0] == 0 and len(r.loss) == 2 for r in found.values())
    return [float(found[g.name].loss[1]) for g in context.groups]


def test_obs_is_half_the_squared_change_of_the_output_per_sample() -> None:
    gated, context = setting()
    x = torch.cat([b.inputs[0] for b in context.batches])
    with torch.no_grad():
        change = [gated(x, *g) - gated(x) for g in ((0.0, 1.0), (1.0, 0.0))]
    want = [0.5 * float(c.square().sum()) / len(x) for c in change]
    assert losses(Obs(), context) == pytest.approx(want, rel=1e-5)


def test_taylor_is_the_squared_derivative_along_a_gate() -> None:
    gated, context = setting()
    want = [0.0, 0.0]
    for batch in context.batches:
        gates = [torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2)]
        assert batch.labels is not None
        loss = F.cross_entropy(gated(batch.inputs[0], *gates), batch.labels)  # type: ignore[arg-type]
        for k, gradient in enumerate(torch.autograd.grad(loss, gates)):
            want[k] += float(gradient) ** 2 / len(context.batches)
    assert losses(Taylor(), context) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize(("method", "power"), [(L1(), 1), (L2(), 2)])
def test_magnitude_is_relative_to_the_mean_block(method: Score, power: int) -> None:
    gated, context = setting()
    means = [float(m.weight.detach().abs().pow(power).mean()) for m in (gated.a, gated.b)]
    want = [6 * m / (sum(means) / 2) for m in means]
    assert losses(method, context) == pytest.approx(want, rel=1e-5)


def test_random_depends_on_seed_and_name_alone() -> None:
    _, context = setting()
    first = losses(Random(seed=1), context)
    assert losses(Random(seed=1), context) == first
    assert losses(Random(seed=2), context) != first
    (alone,) = losses(Random(seed=1), replace(context, groups=context.groups[1:]))
    assert alone == first[1]
    assert all(0 < loss < 12 for loss in first)


def test_torch_pruning_names_the_scores_that_can() -> None:
    _, context = setting()
    with pytest.raises(PruneError) as caught:
        score.run(TorchPruning(), context)
    assert "`obs`" in str(caught.value)
