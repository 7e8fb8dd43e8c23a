"""Costs of random networks: those of what is emitted, and never more of a smaller width."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from prunec import trace
from prunec.emit import files, footprint, stored
from prunec.ir.axis import atoms
from prunec.ir.plan import Plan
from prunec.passes import axes, blocks, cost, group, shrink
from prunec.passes.cost import Metric, Stored
from prunec.trace import Traced
from tests.passes import live
from tests.properties import case
from tests.properties.networks import Recipe, recipes

METRICS: tuple[Metric, ...] = ("macs", "params", "weights", "activations", "memory", "channels")
SETTINGS = settings(
    max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


def file_of(traced: Traced, solved: axes.Axes, free: set[int]) -> Stored:
    varying = [
        name
        for name, dims in solved.weights.items()
        if any(atom.id in free for axis in dims for atom in atoms(axis))
    ]
    names = footprint.names(traced.graph, traced.weights, varying)
    return Stored(names, footprint.header(traced.graph, names))


def real_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@SETTINGS
@given(recipe=recipes(), seed=st.integers(0, 9), keep=st.sampled_from((0.3, 0.5, 0.8, 1.0)))
def test_costs_are_those_of_what_is_emitted(recipe: Recipe, seed: int, keep: float) -> None:
    module, example = recipe.build()
    traced = trace.run(module, example)
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    whole = blocks.run(traced.graph, solved)
    drawn = random.Random(seed)
    gone = {each.name: () for each in whole if drawn.random() < 0.3}
    plan = Plan({**case.plan(groups, keep, seed).keep, **gone})
    slim = shrink.run(traced.graph, traced.weights, solved, (*groups, *whole), plan)
    emitted = case.emitted(slim)
    file = files.weights_bytes(stored(slim.graph, slim.weights))
    real = live.peak(slim.graph, slim.weights, example)

    all_ = (*groups, *whole)
    held = file_of(traced, solved, {g.atom.id for g in all_})
    costs = cost.run(traced.graph, solved, all_, held)
    widths = {g.atom.id: len(plan.keep[g.name]) for g in all_ if g.name in plan.keep}
    found = {metric: costs.remaining(metric, widths) for metric in METRICS}
    assert found["params"] == real_parameters(emitted)
    assert 0 <= found["weights"] - len(file) <= held.header
    assert found["activations"] >= real
    one = any(widths.get(g.atom.id, g.size) == 1 < g.size for g in groups)
    assert found["activations"] == real or one, "only a width of one turns copies into views"
    assert found["memory"] == found["weights"] + found["activations"]
    assert all(costs.total(metric, widths) >= value for metric, value in found.items())


@SETTINGS
@given(recipe=recipes(), seed=st.integers(0, 9))
def test_no_cost_grows_when_a_width_shrinks(recipe: Recipe, seed: int) -> None:
    module, example = recipe.build()
    traced = trace.run(module, example)
    solved = axes.run(traced.graph)
    all_ = (*group.run(traced.graph, solved), *blocks.run(traced.graph, solved))
    costs = cost.run(traced.graph, solved, all_)
    drawn = random.Random(seed)
    paths = [m.path for m in traced.graph.modules]
    scopes = (None, frozenset(drawn.sample(paths, min(2, len(paths)))))
    widths = {g.atom.id: g.size for g in all_}
    before = _all(costs, widths, scopes)
    for _ in range(12 if all_ else 0):
        shrinking = drawn.choice(all_)
        least = 0 if shrinking.branches else 1
        if widths[shrinking.atom.id] > least:
            widths[shrinking.atom.id] = drawn.randrange(least, widths[shrinking.atom.id])
        after = _all(costs, widths, scopes)
        assert (after <= before).all()
        before = after


def _all(
    costs: cost.Costs, widths: Mapping[int, int], scopes: tuple[frozenset[str] | None, ...]
) -> np.ndarray:
    found = [costs.total(metric, widths, scope) for metric in METRICS for scope in scopes]
    return np.array(found)
