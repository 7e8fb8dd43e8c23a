"""The eliminator against closed forms and brute force (identities I1-I3, I5 of the theory)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from prunec.ir.plan import Ranking
from prunec.passes import obs
from prunec.passes.moments import damp
from prunec.passes.obs import Reader


def random_reader(
    seed: int, *, size: int = 5, taps: int = 1, outputs: int = 3, groups: int = 1, spare: int = 0
) -> Reader:
    """A random well-conditioned reader; ``spare`` columns belong to no channel."""
    generator = torch.Generator().manual_seed(seed)
    d = size * taps + spare
    x = torch.randn(groups, 4 * d, d, generator=generator, dtype=torch.float64)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    x = x @ mixing
    matrix = torch.randn(groups, outputs, d, generator=generator, dtype=torch.float64)
    columns = torch.randperm(d, generator=generator)[: size * taps].reshape(size, taps)
    return Reader(x.mT @ x, matrix, columns)


def eliminate(
    readers: list[Reader], size: int, damping: float = 1e-2, rounds: int = 128
) -> Ranking:
    return obs.eliminate(readers, size, damping, rounds=rounds).ranking


def refit(reader: Reader, removed: Tensor, damping: float = 1e-2) -> Tensor:
    """The best weight that is zero on the removed channels: (H_RR)^-1 (H W^T)_R on the others."""
    hessian, _ = damp(reader.hessian, damping)
    gone = set(reader.columns[removed].reshape(-1).tolist())
    kept = torch.tensor([c for c in range(hessian.shape[-1]) if c not in gone], dtype=torch.long)
    best = torch.zeros_like(reader.matrix)
    right = (hessian @ reader.matrix.mT)[:, kept]
    best[:, :, kept] = torch.linalg.solve(hessian[:, kept[:, None], kept], right).mT
    return best


def loss_of(reader: Reader, removed: Tensor, damping: float = 1e-2) -> float:
    """1/2 tr(D H D^T), D the change to that weight."""
    hessian, _ = damp(reader.hessian, damping)
    change = refit(reader, removed, damping) - reader.matrix
    return float(0.5 * (change @ hessian * change).sum())


def test_two_by_two() -> None:
    hessian = torch.tensor([[[2.0, 1.0], [1.0, 1.0]]], dtype=torch.float64)
    matrix = torch.tensor([[[1.0, 1.2]]], dtype=torch.float64)
    ranking = eliminate([Reader(hessian, matrix, torch.tensor([[0], [1]]))], 2, damping=0.0)
    assert ranking.order.tolist() == [1, 0]
    np.testing.assert_allclose(ranking.loss, [0.0, 0.36, 2.92], atol=1e-12)


def test_removing_everything_costs_the_whole_quadratic_form() -> None:
    reader = random_reader(0, size=4, taps=3)
    ranking = eliminate([reader], 4)
    hessian, _ = damp(reader.hessian)
    whole = 0.5 * (reader.matrix @ hessian * reader.matrix).sum()
    assert ranking.loss[-1] == pytest.approx(float(whole), rel=1e-9)


@pytest.mark.parametrize(("taps", "groups", "spare"), [(1, 1, 0), (3, 1, 0), (2, 3, 0), (2, 1, 4)])
def test_greedy_losses_are_those_of_the_refit(taps: int, groups: int, spare: int) -> None:
    reader = random_reader(1, taps=taps, groups=groups, spare=spare)
    ranking = eliminate([reader], 5)
    for k in range(6):
        removed = torch.from_numpy(ranking.order[:k])
        assert ranking.loss[k] == pytest.approx(loss_of(reader, removed), rel=1e-8, abs=1e-9)


def test_the_first_channel_to_go_is_the_best_one() -> None:
    for seed in range(20):
        readers = [random_reader(seed, taps=2), random_reader(seed + 100, outputs=2)]
        ranking = eliminate(readers, 5)
        losses = [sum(loss_of(r, torch.tensor([c])) for r in readers) for c in range(5)]
        assert ranking.order[0] == int(np.argmin(losses))
        assert ranking.loss[1] == pytest.approx(min(losses), rel=1e-9)


def test_greedy_is_near_the_best_pair() -> None:
    ratios = []
    for seed in range(20):
        reader = random_reader(seed)
        best = min(loss_of(reader, torch.tensor(pair)) for pair in combinations(range(5), 2))
        ratios.append(eliminate([reader], 5).loss[2] / best)
    assert min(ratios) >= 1 - 1e-9
    assert np.median(ratios) == pytest.approx(1.0)


def test_several_per_round_cost_exactly_what_their_refit_costs() -> None:
    reader = random_reader(3, size=12)
    ranking = eliminate([reader], 12, rounds=4)
    assert sorted(ranking.order.tolist()) == list(range(12))
    for k in range(13):
        expected = loss_of(reader, torch.from_numpy(ranking.order[:k]))
        assert ranking.loss[k] == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_a_channel_read_by_nobody_goes_first_and_dead_inputs_cost_nothing() -> None:
    reader = random_reader(4)
    reader.matrix[:, :, reader.columns[3]] = 0.0
    reader.hessian[:, reader.columns[1]] = 0.0
    reader.hessian[:, :, reader.columns[1]] = 0.0
    reader.matrix[:, :, reader.columns[1]] = 0.0
    ranking = eliminate([reader], 5)
    assert ranking.order[0] == 1
    assert ranking.loss[1] == 0


def test_singular_moments_are_damped_until_they_can_be_inverted() -> None:
    x = torch.randn(1, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hessian = x.mT @ x
    legal, factor = damp(hessian, 0.0)
    torch.testing.assert_close(factor @ factor.mT, legal)
    ranking = eliminate([Reader(hessian, torch.ones(1, 2, 8), torch.arange(8)[:, None])], 8)
    assert np.isfinite(ranking.loss).all()
    assert (np.diff(ranking.loss) >= 0).all()


def test_snapshots_are_the_refitted_weights() -> None:
    readers = [random_reader(5, taps=2, groups=2, spare=3), random_reader(6, outputs=2)]
    found = obs.eliminate(readers, 5, snapshots=(1, 3, 5))
    assert sorted(found.weights) == [1, 3, 5]
    for count, weights in found.weights.items():
        removed = torch.from_numpy(found.ranking.order[:count])
        for reader, weight in zip(readers, weights, strict=True):
            torch.testing.assert_close(weight, refit(reader, removed))
