"""Never a wrong model: random networks, random plans, the whole road, and the proof.

Every case traces a network, infers its axes, removes random channels of random groups, emits
source, loads it, and asks the masked twin. An unpruned plan must give the model back, to the bit.
"""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunec import trace
from prunec.ir.plan import Plan
from prunec.passes import axes, group, shrink
from tests.properties import case
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
    found = case.run(recipe, seed, keep)
    assert found.verdict == "equal", found.reason


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
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            assert torch.equal(case.emitted(shrunk)(*example), module(*example))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
