"""Execution equals the module; the tape computes the same, frees what is dead and sees changed
weights.
"""

from __future__ import annotations

import torch

from prunec import trace
from prunec.passes.execute import Tape, deaths, run, schedule
from tests.passes.small import Attention, Mlp, Residual, build


def test_the_graph_computes_what_the_module_computes() -> None:
    for small in (
        build(Residual(), 2, 3, 6, 6),
        build(Mlp(), 5, 4),
        build(Attention(), 2, 7, 6),
    ):
        for batch in small.batches:
            (got,) = run(small.graph, small.weights, batch.inputs)
            torch.testing.assert_close(got, small.module(*batch.inputs), rtol=1e-12, atol=1e-12)


def test_half_precision_is_computed_in_float32() -> None:
    module = Mlp().half().eval()
    traced = trace.run(module, (torch.randn(3, 4).half(),))
    (y,) = run(traced.graph, traced.weights, (torch.randn(5, 4).half(),))
    assert y.dtype == torch.float32


def test_observers_see_every_node_with_its_arguments() -> None:
    small = build(Mlp(), 5, 4)
    seen = []
    run(small.graph, small.weights, small.batches[0].inputs, lambda n, a, v: seen.append((n, a, v)))
    assert [n for n, _, _ in seen] == list(small.graph.nodes)
    assert seen[0][1][0] is small.batches[0].inputs[0]


def test_a_tape_equals_a_run_and_ends_with_the_outputs_alone() -> None:
    small = build(Residual(), 2, 3, 6, 6)
    order = schedule(small.graph)
    tape = Tape(small.graph, small.weights, small.batches, order)
    most = 0
    for node in order:
        tape.compute(node.name)
        tape.free(node.name)
        most = max(most, len(tape.values))
    assert set(tape.values) == {r.name for r in small.graph.outputs}
    assert most <= 3
    for k, batch in enumerate(small.batches):
        (want,) = run(small.graph, small.weights, batch.inputs)
        torch.testing.assert_close(tape.values[small.graph.outputs[0].name][k], want)


def test_a_tape_sees_weights_that_change_on_the_way() -> None:
    small = build(Mlp(), 5, 4)
    tape = Tape(small.graph, small.weights, small.batches, small.graph.nodes)
    for node in small.graph.nodes:
        if "fc2.weight" in {r.name for r in node.weight_refs()}:
            tape.weights["fc2.weight"] = torch.zeros_like(tape.weights["fc2.weight"])
        tape.compute(node.name)
    (out,) = small.graph.outputs
    bias = small.weights["fc2.bias"].expand(5, 3)
    torch.testing.assert_close(tape.values[out.name][0], bias)
    assert bool(small.weights["fc2.weight"].any())


def test_the_shortcut_is_scheduled_before_the_branch() -> None:
    class Late(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
            self.short = torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.b(torch.relu(self.a(x)))
            return y + self.short(x)

    small = build(Late(), 5, 4)
    order = schedule(small.graph)
    weights = [r.name for n in order for r in n.weight_refs()]
    assert weights.index("short.weight") < weights.index("a.weight")
    seen: set[str] = {i.name for i in small.graph.inputs}
    for node in order:
        assert {r.name for r in node.refs()} <= seen
        seen.add(node.name)
    assert len(order) == len(small.graph.nodes)


def test_a_value_dies_with_its_last_reader() -> None:
    small = build(Mlp(), 5, 4)
    dying = deaths(small.graph, small.graph.nodes)
    dead = [name for names in dying.values() for name in names]
    assert sorted([*dead, *(r.name for r in small.graph.outputs)]) == sorted(small.graph.types)
