"""Selection: the widths that rules allow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import prunec
from prunec.ir.group import Group
from prunec.selection import Rule, Selection
from prunec.spec import Count, Prune


@pytest.fixture
def group() -> Group:
    net = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 4))
    (found,) = prunec.analyze(net, args=(torch.zeros(2, 4),)).groups
    return found


def widths(group: Group, prune: Prune, **more: tuple[int, ...]) -> tuple[int, ...]:
    return Selection((Rule(prune, (group,)),)).widths(more or None)[group.name]


def test_a_number_rules_whatever_a_profile_says(group: Group) -> None:
    prune = Prune(keep_at_least=Count(value=6), multiple_of=8)
    assert widths(group, prune) == (8, 16, 20)
    assert widths(group, prune, **{group.name: (10,)}) == (8, 16, 20)


def test_auto_takes_the_widths_of_the_profile(group: Group) -> None:
    prune = Prune(keep_at_least=Count(value=6), multiple_of="auto")
    assert widths(group, prune) == tuple(range(6, 21))
    assert widths(group, prune, another=(10,)) == tuple(range(6, 21))
    assert widths(group, prune, **{group.name: (4, 8, 12, 21)}) == (8, 12, 20)
