"""Measured damage against the same figure made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec.cache import Cache
from prunec.diagnostics import PruneError
from prunec.ir.plan import Plan, Ranking
from prunec.passes import repair, score, shrink
from prunec.passes.batches import Batch
from prunec.passes.blocks import run as find_blocks
from prunec.passes.damage import Damage, replay
from prunec.passes.execute import run as execute
from prunec.spec import L2, BatchNorm
from tests.passes.small import Mlp, Residual, Small, build


class Headless(nn.Module):
    """What it returns is no matrix's output: features, and no scores."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.two(torch.relu(self.one(x))))


def damage(small: Small, **more: object) -> Damage:
    return Damage(small.context, score.run(L2(), small.context), **more)  # type: ignore[arg-type]


def outputs(small: Small, widths: dict[str, int]) -> tuple[Tensor, Tensor]:
    """The dense and the slim model's outputs, batch norms re-estimated."""
    ranked = score.run(L2(), small.context)
    plan = Plan({name: ranked[name].keep(width) for name, width in widths.items()})
    shrunk = shrink.run(small.graph, small.weights, small.axes, small.groups, plan)
    fitted = repair.run((BatchNorm(),), small.graph, small.weights, shrunk, small.batches)
    slim = [execute(shrunk.graph, fitted, b.inputs)[0] for b in small.batches]
    dense = [execute(small.graph, small.weights, b.inputs)[0] for b in small.batches]
    return torch.cat(dense), torch.cat(slim)


def some_widths(small: Small) -> dict[str, int]:
    return {g.name: g.size // 2 for g in small.groups}


@pytest.mark.parametrize("classes", [5, None])
def test_scores_are_compared_by_the_divergence_of_their_answers(classes: int | None) -> None:
    small = build(Residual(), 8, 3, 6, 6, classes=classes)
    widths = some_widths(small)
    dense, slim = outputs(small, widths)
    want = F.kl_div(slim.log_softmax(1), dense.log_softmax(1), log_target=True, reduction="sum")
    assert damage(small)(widths) == pytest.approx(float(want) / len(dense), rel=1e-9)


@pytest.mark.parametrize("labelled", [False, True])
def test_other_outputs_by_their_relative_squared_error(labelled: bool) -> None:
    """Features, and what float labels say is no score of a class."""
    small = build(Mlp() if labelled else Headless(), 5, 4)
    if labelled:
        targets = torch.zeros(5, 3, dtype=torch.float64)
        small = replace(small, batches=tuple(Batch(b.inputs, targets) for b in small.batches))
    widths = some_widths(small)
    dense, slim = outputs(small, widths)
    want = (slim - dense).square().sum() / dense.square().sum()
    assert damage(small)(widths) == pytest.approx(float(want), rel=1e-9)


def test_no_label_is_read() -> None:
    small = build(Residual(), 8, 3, 6, 6, classes=5)
    others = tuple(Batch(b.inputs, (b.labels + 1) % 5) for b in small.batches)  # type: ignore[operator]
    none = tuple(Batch(b.inputs) for b in small.batches)
    found = {damage(replace(small, batches=b))(some_widths(small)) for b in (others, none)}
    assert found == {damage(small)(some_widths(small))}


def test_the_dense_model_has_none_and_a_plan_is_measured_once() -> None:
    small = build(Residual(), 8, 3, 6, 6)
    stages: list[str] = []
    found = damage(small, stage=stages.append)
    assert found({}) == found({g.name: g.size for g in small.groups}) == 0
    assert found.tried == 0
    widths = some_widths(small)
    assert found(widths) == found(dict(reversed(widths.items()))) == damage(small)(widths) > 0
    (name, width), *_ = widths.items()
    assert found.sensitivity(name, width) == found({name: width}) > 0
    assert found.measured == found.tried == 2
    assert stages == ["measuring plan 1", "measuring plan 2"]
    found.forget()
    assert found.tried == 0
    assert found(widths) == damage(small)(widths)
    assert (found.measured, found.tried) == (2, 1)


@pytest.mark.parametrize("blocks", [False, True])
def test_the_dense_model_may_be_computed_once_or_each_time(
    blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = build(Residual(), 8, 3, 6, 6)
    branches = find_blocks(small.graph, small.axes) if blocks else ()
    assert bool(branches) == blocks
    context = replace(small.context, groups=(*small.groups, *branches))
    ranked = score.run(L2(), context)
    plans = [{g.name: g.size // 2 for g in (*small.groups[:k], *branches)} for k in (0, 1, 2)]
    once = Damage(context, ranked)
    found = [once(plan) for plan in plans]
    assert len(set(found)) == (2 if blocks else 3)
    assert once._dense is not None
    monkeypatch.setattr(replay, "LIMIT", 0)
    each = Damage(context, ranked)
    assert [each(plan) for plan in plans] == found
    assert each._dense is None


def test_the_cache_knows_what_was_measured_of_the_same(tmp_path: Path) -> None:
    small = build(Residual(), 8, 3, 6, 6)
    widths = some_widths(small)
    first = damage(small, cache=Cache(tmp_path), inputs="these")(widths)
    again = damage(small, cache=Cache(tmp_path), inputs="these")
    assert again(widths) == first
    assert (again.measured, again.remembered, again.tried) == (0, 1, 1)
    other = damage(small, cache=Cache(tmp_path), inputs="others")
    assert other(widths) == first
    assert other.measured == 1
    ranked = score.run(L2(), small.context)
    turned = {n: replace(r, order=r.order[::-1].copy()) for n, r in ranked.items()}
    reverse = Damage(small.context, turned, cache=Cache(tmp_path), inputs="these")
    assert reverse(widths) != first
    assert reverse.measured == 1


def test_a_model_that_cannot_answer_is_refused() -> None:
    small = build(Mlp(), 5, 4)
    huge = {n: w * 1e200 for n, w in small.weights.items()}
    ranked = score.run(L2(), small.context)
    with pytest.raises(PruneError, match="P0613"):
        Damage(replace(small.context, weights=huge), ranked)(some_widths(small))


def test_a_plan_that_cannot_answer_loses_everything() -> None:
    """Of two huge opposites one goes, and the bias is too much for the other."""
    small = build(Mlp(2), 5, 4)
    weights = {n: torch.zeros_like(w) for n, w in small.weights.items()}
    weights["fc1.bias"] += 1e308
    weights["fc2.weight"] += torch.tensor([1.0, -1.0]).double()
    weights["fc2.bias"] += 1e308
    found = execute(small.graph, weights, small.batches[0].inputs)[0]
    assert torch.isfinite(found).all()
    name = small.groups[0].name
    second_goes = {name: Ranking(np.array([1, 0]), np.array([0.0, 1.0, 2.0]))}
    assert Damage(replace(small.context, weights=weights), second_goes)({name: 1}) == math.inf
