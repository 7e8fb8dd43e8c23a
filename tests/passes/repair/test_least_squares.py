"""Least squares against closed forms: recovery, optimality, and leaving well alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from prunec.passes import repair
from prunec.passes.batches import Batch
from prunec.passes.execute import run as execute
from prunec.passes.shrink import Shrunk
from prunec.spec import BatchNorm, LeastSquares
from tests.passes.small import Mlp, Residual, Small, build

METHODS = (LeastSquares(ridge=1e-9),)


def repaired(small: Small, shrunk: Shrunk, *methods: LeastSquares | BatchNorm) -> dict[str, Tensor]:
    return repair.run(methods or METHODS, small.graph, small.weights, shrunk, small.batches)


def error(small: Small, shrunk: Shrunk, weights: dict[str, Tensor]) -> float:
    """Squared error of the slim model's output over the calibration set."""
    total = 0.0
    for batch in small.batches:
        (slim,) = execute(shrunk.graph, weights, batch.inputs)
        (dense,) = execute(small.graph, small.weights, batch.inputs)
        total += float((slim - dense).square().sum())
    return total


def test_a_redundant_channel_costs_nothing() -> None:
    small = build(Mlp(), 20, 4)
    for name in ("fc1.weight", "fc1.bias"):
        small.weights[name][1] = 2 * small.weights[name][0]
    shrunk = small.shrink(fc1=(0, 2, 3, 4, 5))
    assert error(small, shrunk, shrunk.weights) > 0.1
    assert error(small, shrunk, repaired(small, shrunk)) < 1e-10


def test_the_fit_is_the_least_squares_solution_with_intercept() -> None:
    small = build(Mlp(), 20, 4)
    shrunk = small.shrink(fc1=(0, 2, 5))
    found = repaired(small, shrunk)
    x = torch.cat([b.inputs[0] for b in small.batches])
    hidden = torch.relu(nn.functional.linear(x, found["fc1.weight"], found["fc1.bias"]))
    target = small.module.load_state_dict(small.weights) and small.module(x).detach()
    design = torch.cat([hidden, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    best = torch.linalg.lstsq(design, target).solution
    torch.testing.assert_close(found["fc2.weight"], best[:-1].T, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["fc2.bias"], best[-1], rtol=1e-5, atol=1e-6)


def test_a_strong_ridge_keeps_the_old_weight() -> None:
    small = build(Mlp(), 20, 4)
    shrunk = small.shrink(fc1=(0, 2, 5))
    weak, strong = (repaired(small, shrunk, LeastSquares(ridge=r)) for r in (1e-9, 1.0))
    old = shrunk.weights["fc2.weight"]
    moved = [(w["fc2.weight"] - old).norm() for w in (weak, strong)]
    assert 0 < moved[1] < moved[0]


def test_what_lost_nothing_upstream_stays_to_the_bit() -> None:
    small = build(Residual(), 8, 3, 6, 6)
    shrunk = small.shrink(conv1=tuple(range(0, 12, 2)))
    found = repaired(small, shrunk, LeastSquares(), BatchNorm())
    for name in found:
        same = found[name] is shrunk.weights[name]
        assert same == (
            name not in {"conv2.weight", "norm2.running_mean", "head.weight", "head.bias"}
        ), name


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions_with_a_batch_norm_behind_them_are_fitted(groups: int) -> None:
    small = build(Residual(groups=groups), 8, 3, 6, 6)
    within = small.group("conv1")
    shrunk = small.shrink(conv1=tuple(range(within.size - max(1, within.size // 3))))
    bare = error(small, shrunk, shrunk.weights)
    assert error(small, shrunk, repaired(small, shrunk)) < 0.7 * bare


def test_a_constant_channel_goes_into_the_batch_norm_behind() -> None:
    small = build(Residual(), 8, 3, 6, 6)
    small.weights["norm1.weight"][7], small.weights["norm1.bias"][7] = 0.0, 1.5
    shrunk = small.shrink(conv1=tuple(k for k in range(12) if k != 7))
    # A constant channel is an intercept but for the border, where the convolution pads with zeros.
    bare = error(small, shrunk, shrunk.weights)
    assert error(small, shrunk, repaired(small, shrunk)) < 0.1 * bare


def test_the_last_layer_of_a_branch_makes_up_for_the_shortcut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = build(Residual(), 16, 3, 6, 6)
    shrunk = small.shrink(**{"{stem,conv2}": (0, 1, 3, 4, 6, 7), "conv1": tuple(range(9))})
    corrected = error(small, shrunk, repaired(small, shrunk))
    monkeypatch.setattr(repair.Walk, "_correction", lambda *_: None)
    assert corrected <= error(small, shrunk, repaired(small, shrunk)) * 1.001


def test_nothing_pruned_nothing_changed() -> None:
    small = build(Residual(), 4, 3, 6, 6)
    shrunk = small.shrink()
    found = repaired(small, shrunk, LeastSquares(), BatchNorm())
    assert all(found[n] is w for n, w in shrunk.weights.items())


def test_a_weight_that_two_layers_share_is_left_alone() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.mid = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(2):
                x = torch.relu(self.mid(torch.relu(self.first(x))))
            return x

    small = build(Shared(), 20, 4)
    shrunk = small.shrink(first=(0, 1, 2, 5))
    found = repaired(small, shrunk)
    assert all(found[n] is w for n, w in shrunk.weights.items())


def test_half_precision_weights_come_back_in_half() -> None:
    small = build(Mlp(), 20, 4)
    small = replace(small, batches=tuple(Batch((b.inputs[0].float(),)) for b in small.batches))
    small.weights.update({n: w.half() for n, w in small.weights.items()})
    shrunk = small.shrink(fc1=(0, 2, 5))
    found = repaired(small, shrunk)
    assert {w.dtype for w in found.values()} == {torch.float16}
    assert found["fc1.weight"] is shrunk.weights["fc1.weight"]
    assert not torch.equal(found["fc2.weight"], shrunk.weights["fc2.weight"])
