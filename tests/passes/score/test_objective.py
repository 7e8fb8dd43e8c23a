"""The loss that is found from outputs and labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prunec.diagnostics import PruneError
from prunec.passes.batches import Batch
from prunec.passes.score.objective import loss, projection

IMAGE = torch.zeros(2, 3)


def classes(*shape: int, count: int = 4) -> Tensor:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(0))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("output", "labels", "want"),
    [
        (random(2, 4), classes(2), F.cross_entropy),
        (
            random(2, 5, 4),
            classes(2, 5),
            lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten()),
        ),
        (random(2, 4, 3, 5), classes(2, 3, 5), F.cross_entropy),
        (random(2, 4, 7), classes(2, 7), F.cross_entropy),
        (random(2, 4), random(2, 4) + 1, F.mse_loss),
    ],
)
def test_forms(output: Tensor, labels: Tensor, want: object) -> None:
    found = loss([torch.ones(2, dtype=torch.int64), output], Batch((IMAGE,), labels))
    torch.testing.assert_close(found, want(output, labels))  # type: ignore[operator]


def test_labels_that_repeat_the_tokens_are_those_of_the_next_token() -> None:
    output, tokens = random(2, 5, 4), classes(2, 5)
    labels = tokens.clone()
    labels[0, 3:] = -100
    want = F.cross_entropy(output[:, :-1].reshape(-1, 4), labels[:, 1:].reshape(-1))
    torch.testing.assert_close(loss([output], Batch((tokens,), labels)), want)


@pytest.mark.parametrize(
    ("outputs", "labels", "code"),
    [
        ([random(2, 4)], None, "P0406"),
        ([random(2, 4)], classes(2, 1), "P0407"),
        ([random(2, 4)], torch.tensor([0, 4]), "P0407"),
        ([random(2, 4)], random(2, 5), "P0407"),
        ([torch.ones(2, dtype=torch.int64)], classes(2), "P0407"),
    ],
)
def test_faults(outputs: list[Tensor], labels: Tensor | None, code: str) -> None:
    with pytest.raises(PruneError, match=code):
        loss(outputs, Batch((IMAGE,), labels))


def test_a_projection_measures_the_length_of_a_change() -> None:
    generator = torch.Generator().manual_seed(0)
    change = random(3, 4)
    draws = [float(projection([change], generator)) ** 2 for _ in range(4000)]
    assert sum(draws) / len(draws) == pytest.approx(float(change.square().sum()), rel=0.1)
