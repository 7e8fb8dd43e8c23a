"""The clean room's own judgement of names."""

from __future__ import annotations

import torch
from torch import nn

from prunec.check.room import strays


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("angles", torch.ones(2), persistent=False)
        self.register_buffer("count", torch.zeros(()))


def test_a_tied_weight_is_stored_once_and_a_buffer_outside_the_state_may_be_stored() -> None:
    assert strays(Tied(), {"embed.weight", "count"}) == set()
    assert strays(Tied(), {"embed.weight", "count", "angles"}) == set()


def test_what_nobody_fills_and_what_nobody_wants_is_named() -> None:
    assert strays(Tied(), {"embed.weight"}) == {"count"}
    assert strays(Tied(), {"count"}) == {"embed.weight", "head.weight"}
    assert strays(Tied(), {"embed.weight", "count", "other"}) == {"other"}
