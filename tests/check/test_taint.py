"""Taint finds what depends on what, of operators whose answer is known."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from prunec.check import taint


def _rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_elementwise_is_the_identity() -> None:
    found = taint.dependence(torch.relu, [_rand(3, 4).abs()], 0, 1)
    assert torch.equal(found[0, 1], torch.eye(4, dtype=torch.bool))
    assert found[0, 0].all()


def test_flip_and_roll_are_permutations() -> None:
    flipped = taint.dependence(lambda x: x.flip(1), [_rand(2, 4)], 0, 1)[0, 1]
    assert torch.equal(flipped, torch.eye(4, dtype=torch.bool).flip(1))
    rolled = taint.dependence(lambda x: x.roll(1, 1), [_rand(2, 4)], 0, 1)[0, 1]
    assert torch.equal(rolled, torch.eye(4, dtype=torch.bool).roll(1, 1))


def test_a_contraction_reaches_every_output() -> None:
    found = taint.dependence(F.linear, [_rand(2, 3), _rand(5, 3)], 0, 1)
    assert found[0, 1].all()
    assert taint.is_linear(F.linear, [_rand(2, 3), _rand(5, 3)], 0, 1, 0)


def test_grouped_convolution_is_block_diagonal() -> None:
    x, weight = _rand(1, 4, 3, 3), _rand(6, 2, 3, 3)
    found = taint.dependence(lambda a, b: F.conv2d(a, b, groups=2), [x, weight], 0, 1)[0, 1]
    want = torch.block_diag(torch.ones(2, 3), torch.ones(2, 3)).bool()
    assert torch.equal(found, want)


def test_a_maximum_shows_itself() -> None:
    found = taint.dependence(lambda x: x.amax(1), [_rand(2, 5)], 0, 1)
    assert found[0, 0].all()
    assert not taint.is_linear(lambda x: x.amax(1) ** 2, [_rand(2, 5)], 0, 1, 0)


def test_softmax_mixes() -> None:
    found = taint.dependence(lambda x: x.softmax(-1), [_rand(2, 4)], 0, 1)[0, 1]
    assert found.all()
    claimed = torch.eye(4, dtype=torch.bool)
    assert (0, 1) in taint.disagreements(found, claimed)
    assert (2, 2) not in taint.disagreements(found, claimed)


def test_several_outputs_and_indices() -> None:
    parts = taint.dependence(lambda x: x.split([1, 3], 1), [_rand(2, 4)], 0, 1)
    assert torch.equal(parts[0, 1][:, 0], torch.tensor([True, False, False, False]))
    assert torch.equal(parts[1, 1][1:], torch.eye(3, dtype=torch.bool))
    rows = taint.dependence(F.embedding, [torch.tensor([0, 2]), _rand(3, 2)], 0, 0)
    assert torch.equal(rows[0, 0], torch.eye(2, dtype=torch.bool))
