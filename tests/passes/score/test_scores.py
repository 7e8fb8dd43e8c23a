"""Every score through the front door: a legal ranking of every group, the same one every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunec.diagnostics import PruneError
from prunec.ir.plan import Ranking
from prunec.passes import score
from prunec.spec import L1, L2, Obs, Random, Score, Taylor, TorchPruning
from tests.passes.small import Attention, Mlp, Residual, Small, build


def legal(rankings: dict[str, Ranking], small: Small) -> None:
    assert set(rankings) == {g.name for g in small.groups}
    for group in small.groups:
        ranking = rankings[group.name]
        assert sorted(ranking.order.tolist()) == list(range(group.size))
        assert ranking.loss.shape == (group.size + 1,)
        assert ranking.loss[0] == 0
        assert (np.diff(ranking.loss) >= 0).all()
        assert np.isfinite(ranking.loss).all()
        assert ranking.order.dtype == np.int64


@pytest.mark.parametrize("method", [Random(), L1(), L2(), Taylor(), Obs()])
def test_every_group_is_ranked(method: Score) -> None:
    for small in (build(Residual(groups=2), 4, 3, 6, 6, classes=5), build(Mlp(), 8, 4, classes=3)):
        first, again = score.run(method, small.context), score.run(method, small.context)
        legal(first, small)
        for name, ranking in first.items():
            np.testing.assert_array_equal(ranking.order, again[name].order)
            np.testing.assert_array_equal(ranking.loss, again[name].loss)


def test_what_only_activations_contract_is_ranked_too() -> None:
    small = build(Attention(), 4, 7, 6)
    legal(score.run(Obs(), small.context), small)


def test_random_orders_depend_on_the_seed_and_the_name_alone() -> None:
    small = build(Mlp(width=50), 8, 4)
    (name,) = (g.name for g in small.groups)
    one, two = (score.run(Random(seed=s), small.context)[name].order for s in (1, 2))
    assert one.tolist() != two.tolist()
    assert (
        one.tolist()
        == score.run(Random(seed=1), build(Mlp(width=50), 8, 4).context)[name].order.tolist()
    )


@pytest.mark.parametrize(("method", "power"), [(L1(), 1), (L2(), 2)])
def test_norms_are_those_of_the_producers_relative_to_the_mean(method: Score, power: int) -> None:
    small = build(Residual(), 2, 3, 6, 6)
    residual = small.group("{stem,conv2}")
    filters = torch.cat([small.weights[f"{m}.weight"].flatten(1) for m in ("stem", "conv2")], 1)
    norms = filters.norm(p=power, dim=1).numpy()
    ranking = score.run(method, small.context)[residual.name]
    assert ranking.order.tolist() == np.argsort(norms).tolist()
    np.testing.assert_allclose(np.diff(ranking.loss), np.sort(norms) / norms.mean())


def test_taylor_says_what_is_wrong_with_the_labels() -> None:
    small = build(Mlp(), 8, 4)
    with pytest.raises(PruneError, match="P0406"):
        score.run(Taylor(), small.context)


@pytest.mark.parametrize(
    "importance", ["GroupMagnitudeImportance", "BNScaleImportance", "GroupTaylorImportance"]
)
def test_torch_pruning_scores_our_groups(importance: str) -> None:
    small = build(Residual(), 4, 3, 6, 6, classes=5)
    legal(score.run(TorchPruning(importance=importance), small.context), small)


def test_torch_pruning_magnitude_finds_the_channel_that_is_zero_everywhere() -> None:
    small = build(Mlp(), 8, 4)
    with torch.no_grad():
        small.module.fc1.weight[3] = 0.0
        small.module.fc2.weight[:, 3] = 0.0
    (ranking,) = score.run(TorchPruning(), small.context).values()
    assert ranking.order[0] == 3
    assert ranking.loss[1] == 0
