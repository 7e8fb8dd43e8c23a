"""Never a wrong model: random networks, random plans, the whole road, and the proof.

Every case traces a network, infers its axes, removes random channels of random groups, emits
source, loads it, and asks the masked twin. An unpruned plan must give the model back, to the bit.
"""

from __future__ import annotations

import random

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunec import trace
from prunec.check import Removed, twin
from prunec.ir import verify
from prunec.ir.plan import Plan
from prunec.passes import axes, blocks, cost, group, shrink
from tests.properties import case
from tests.properties.networks import Recipe, recipes

CASES = 100


@settings(
    max_examples=CASES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(recipe=recipes(), seed=st.integers(0, 9), keep=st.sampled_from((0.3, 0.5, 0.8)))
def test_never_a_wrong_model(recipe: Recipe, seed: int, keep: float) -> None:
    found = case.run(recipe, seed, keep)
    assert found.verdict == "equal", found.reason


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(recipe=recipes(), seed=st.integers(0, 9))
def test_never_a_wrong_model_without_blocks(recipe: Recipe, seed: int) -> None:
    """The same with random residual blocks removed, and costs that are those of what is left."""
    module, example = recipe.build()
    traced = trace.run(module, example)
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    whole = blocks.run(traced.graph, solved)
    drawn = random.Random(seed)
    gone = {each.name: () for each in whole if drawn.random() < 0.6}
    asked = Plan({**case.plan(groups, 0.5, seed).keep, **gone})
    shrunk = shrink.run(traced.graph, traced.weights, solved, (*groups, *whole), asked)
    verify.run(shrunk.graph)
    slim = case.emitted(shrunk)
    removed = Removed(shrunk.values, shrunk.kept, shrunk.dropped, shrunk.absent)
    found = twin.run(
        traced.graph, traced.weights, removed, slim, example, batches=(1, 3), seed=seed
    )
    unchecked = {d.code for d in found.diagnostics}
    if unchecked and unchecked <= case.UNCHECKED:
        return
    assert found.equal, "\n".join(map(str, found.diagnostics))
    widths = {g.atom.id: len(asked.keep[g.name]) for g in (*groups, *whole) if g.name in asked.keep}
    costs = cost.run(traced.graph, solved, whole)
    assert costs.total("params", widths) == sum(p.numel() for p in slim.parameters())


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
    # Not the fused kernels that torch's own transformer takes when it is not traced: they round.
    # And one thread: several share out sums by the shapes of views, which also rounds.
    fast, threads = torch.backends.mha.get_fastpath_enabled(), torch.get_num_threads()
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            assert torch.equal(case.emitted(shrunk)(*example), module(*example))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.set_num_threads(threads)
