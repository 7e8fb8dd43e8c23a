"""Selection: the widths that rules allow."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

import prunec
from prunec import selection
from prunec.diagnostics import Source
from prunec.ir.group import Group
from prunec.selection import Rule, Selection
from prunec.spec import Count, Prune, load


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


def test_every_line_that_keeps_channels_is_a_limit_and_knows_its_place() -> None:
    text = """target latency <= 50% on cpu
prune channels { in "b"
  keep >= 25%, multiple of auto
}
prune channels { keep multiple of 3 }
freeze "c"
freeze inputs of "e"
"""
    net = nn.Sequential(OrderedDict((n, nn.Linear(8, 8)) for n in "abcde"))
    found = prunec.analyze(net, args=(torch.zeros(2, 8),))
    spec = load(Source("x", text), in_memory=True)
    chosen = selection.run(spec, found)
    limits = chosen.limits({"b": (1, 2, 5, 8)})
    every = tuple(range(1, 9))
    assert chosen.free() == dict.fromkeys("abcd", every)
    assert [(x.text, dict(x.widths)) for x in limits] == [
        ("keep >= 25%", {"b": every[1:]}),
        ("multiple of auto", {"b": (1, 2, 5, 8)}),
        ("multiple of 3", dict.fromkeys("acd", (3, 6, 8))),
        ('freeze "c"', {"c": (8,)}),
        ('freeze inputs of "e"', {"d": (8,)}),
    ]
    rows = text.split("\n")
    for limit in limits:
        assert limit.span
        row = rows[limit.span.line - 1]
        assert row[limit.span.column - 1 : limit.span.end_column - 1] == limit.text
