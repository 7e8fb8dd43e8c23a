"""Normalised HSIC: closed forms, and what they make a layer worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunec.diagnostics import PruneError
from prunec.passes.batches import Batch
from prunec.passes.score.hsic import Dependence, importance, run
from tests.passes.small import Residual, Small, build

A = [1.0, 1.0, -1.0, -1.0]
B = [1.0, -1.0, 1.0, -1.0]


class Two(nn.Module):
    """Two layers that read the input, and one that reads both."""

    def __init__(self, inputs: int, one: int, two: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(inputs, one), nn.Linear(inputs, two)
        self.head = nn.Linear(one + two, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.one(x), self.two(x)], dim=-1)
        out: Tensor = self.head(torch.relu(both))
        return out


def two(x: Tensor, one: Tensor, other: Tensor, shift: float = 0.0) -> Small:
    """The layers x one^T and x other^T + shift, on one batch."""
    small = build(Two(x.shape[1], len(one), len(other)), len(x), x.shape[1])
    weights = dict(small.weights)
    weights |= {"one.weight": one.double(), "two.weight": other.double()}
    weights["two.bias"] = torch.full((len(other),), shift, dtype=torch.float64)
    return replace(small, weights=weights, batches=(Batch((x.double(),)),))


def nodes(small: Small, *weights: str) -> list[str]:
    """The nodes that read these weights."""
    return [
        n.name
        for w in weights
        for n in small.graph.nodes
        if f"{w}.weight" in {r.name for r in n.weight_refs()}
    ]


def aligned(small: Small) -> float:
    names = nodes(small, "one", "two")
    found = run(small.context, frozenset(names))
    assert list(found.layers) == names
    assert found.alignment.diagonal() == pytest.approx([1, 1])
    assert found.alignment[0, 1] == found.alignment[1, 0]
    return float(found.alignment[0, 1])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_a_turned_scaled_and_shifted_copy_is_the_same() -> None:
    x, turn = random(9, 4), torch.linalg.qr(random(4, 4, seed=1)).Q
    assert aligned(two(x, torch.eye(4), 3 * turn, shift=0.7)) == pytest.approx(1)


def test_patterns_at_right_angles_share_nothing() -> None:
    x = torch.tensor([A, B]).T
    assert aligned(two(x, torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]]))) == pytest.approx(0)


def test_one_of_two_patterns_shares_one_over_root_two() -> None:
    x = torch.tensor([A, B]).T
    found = aligned(two(x, torch.tensor([[1.0, 0]]), torch.eye(2)))
    assert found == pytest.approx(1 / np.sqrt(2))


def test_the_gram_form_is_the_feature_form() -> None:
    x = random(12, 5)
    one, other = random(3, 5, seed=2), random(7, 5, seed=3)
    p, q = (y - y.mean(0) for y in (x @ one.T, x @ other.T))
    want = (p.T @ q).norm() ** 2 / ((p.T @ p).norm() * (q.T @ q).norm())
    assert aligned(two(x, one, other, shift=2.0)) == pytest.approx(float(want))


def test_batches_add_up_and_single_samples_do_not_count() -> None:
    small = build(Residual(), 6, 3, 5, 5)
    names = frozenset(nodes(small, "conv1", "conv2"))
    whole = run(small.context, names)
    single = Batch((small.batches[0].inputs[0][:1],))
    more = replace(small.context, batches=(single, *small.batches, single))
    assert np.array_equal(run(more, names).alignment, whole.alignment)
    apart = [run(replace(small.context, batches=(b,)), names) for b in small.batches]
    assert not np.allclose(whole.alignment, apart[0].alignment)
    with pytest.raises(PruneError, match="P0613"):
        run(replace(small.context, batches=(single,)), names)


def test_what_shares_less_is_worth_more() -> None:
    found = Dependence(
        ("a", "b", "c"), np.array([[1, 0.8, 0.1], [0.8, 1, 0.5], [0.1, 0.5, 1]])
    ).redundancy()
    assert found == pytest.approx({"a": 0.9 / 2.8, "b": 1.3 / 2.8, "c": 0.6 / 2.8})


@pytest.mark.parametrize("beta", [None, 0.0, 1.0, 5000.0])
def test_importance_is_on_the_scale_of_its_largest(beta: float | None) -> None:
    """Also where exp(-beta r) itself is zero in floating point."""
    small = build(Residual(), 16, 3, 6, 6)
    found = importance(small.context, beta)
    assert found.keys() == {g.name for g in small.groups}
    assert max(found.values()) == 1
    assert min(found.values()) >= 0
    by_layer = run(small.context, frozenset(nodes(small, "stem", "conv1", "conv2"))).redundancy()
    if beta == 1.0:
        e = {w: np.exp(-by_layer[nodes(small, w)[0]]) for w in ("stem", "conv1", "conv2")}
        residual = small.group("{stem,conv2}").name
        inner = small.group("conv1").name
        assert found[inner] / found[residual] == pytest.approx(
            e["conv1"] / (e["stem"] + e["conv2"])
        )


def test_a_dead_layer_is_worth_nothing() -> None:
    small = two(random(8, 3), random(4, 3, seed=1), torch.zeros(5, 3), shift=1.5)
    found = importance(small.context, None)
    assert found[small.group("two").name] == 0
    assert found[small.group("one").name] == 1
