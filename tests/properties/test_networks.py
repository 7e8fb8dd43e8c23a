"""Never a wrong model: random networks, random plans, the whole road, and the proof.

Every case traces a network, infers its axes, removes random channels of random groups, emits
source, loads it, and asks the masked twin. An unpruned plan must give the model back, to the bit.
"""

from __future__ import annotations

import random

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from prunec import emit, trace
from prunec.check import Removed, state, twin
from prunec.ir.group import Group
from prunec.ir.plan import Plan
from prunec.passes import axes, group, shrink
from tests.properties.networks import Recipe, recipes

CASES = 200


@settings(
    max_examples=CASES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(recipe=recipes(), seed=st.integers(0, 9), keep=st.sampled_from((0.3, 0.5, 0.8)))
def test_never_a_wrong_model(recipe: Recipe, seed: int, keep: float) -> None:
    module, example = recipe.build()
    traced = trace.run(module, example)
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    shrunk = shrink.run(traced.graph, traced.weights, solved, groups, plan(groups, keep, seed))
    slim = _emitted(shrunk)
    removed = Removed(shrunk.values, shrunk.kept)
    found = twin.run(
        traced.graph, traced.weights, removed, slim, example, batches=(1, 3), seed=seed
    )
    assert found.equal, "\n".join(map(str, found.diagnostics))
    assert state.parameters(traced.graph, removed) == sum(p.numel() for p in slim.parameters())


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(recipe=recipes())
def test_an_empty_plan_changes_nothing(recipe: Recipe) -> None:
    module, example = recipe.build()
    traced = trace.run(module, example)
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    shrunk = shrink.run(traced.graph, traced.weights, solved, groups, Plan({}))
    assert shrunk.graph is traced.graph
    with torch.no_grad():
        assert torch.equal(_emitted(shrunk)(*example), module(*example))


def plan(groups: tuple[Group, ...], keep: float, seed: int) -> Plan:
    """A random share of most groups; of those that something mixes, two channels stay: one has no
    variance.
    """
    drawn = random.Random(seed)
    kept = {}
    for each in groups:
        if drawn.random() < 0.2:
            continue
        least = each.least
        width = max(least, int(each.size * keep))
        kept[each.name] = tuple(sorted(drawn.sample(range(each.size), width)))
    return Plan(kept)


def _emitted(shrunk: shrink.Shrunk) -> nn.Module:
    source = emit.run(shrunk.graph, class_name="Slim", header="a case", weights=shrunk.weights)
    return emit.load(source, shrunk.weights, "Slim")
