"""Budgets of the emitted module: counted anew, and a claim that is doctored is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError, proof, trace
from prunec.check import costs
from prunec.check.costs import Question
from prunec.driver import Compiled
from prunec.ir.plan import Cost
from prunec.prepare import Subject
from prunec.proof import Claim
from prunec.trace import Traced
from tests.passes.residual import Transformer, spread

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
SPEC = """
target params  <= 80%
target macs    <= 80%
target weights <= 90%
target memory  <= 95%
target params  <= 70% in "layers.1"
target weights <= 70% in "layers.1.mlp"
target macs    <= 75% in "layers.2"
target channels <= 97%
target activations <= 97%
target activations <= 97% in "layers.0"
target sparsity >= 20%
prune channels { score l2 }
repair none
"""


@pytest.fixture(scope="module")
def made() -> Compiled:
    return prunec.compile(SPEC, model=spread(Transformer()), args=(X,))


def question(made: Compiled, module: nn.Module | None = None) -> Question:
    traced = trace.run(spread(Transformer()), (X,))
    file = made.files["slim.safetensors"]
    return Question(traced.graph, made.removed, module or made.module, file, (X,))


def claim(made: Compiled, metric: str, scope: str | None = None) -> Cost:
    (found,) = (c for c in made.plan.costs if (c.metric, c.scope) == (metric, scope))
    return found


def test_the_report_says_what_was_counted(made: Compiled) -> None:
    (check,) = (c for c in made.report.checks if c.name == "the budgets hold")
    assert check.passed
    counted, _, others = check.detail.partition("; not counted: ")
    assert others.split(", ") == [
        *("memory", "channels", "activations"),
        'macs in "layers.2"',
        'activations in "layers.0"',
    ]
    assert [part.rpartition(" ")[0] for part in counted.split(", ")] == [
        *("macs", "params", "weights"),
        'params in "layers.1"',
        'weights in "layers.1.mlp"',
    ]


def test_every_target_holds_and_is_reported_once(made: Compiled) -> None:
    assert made.report.passed
    rows = [(c.metric, c.scope, c.bound is None) for c in made.report.costs]
    assert rows == [
        *((m, None, False) for m in ("macs", "params", "weights", "memory")),
        *((m, None, False) for m in ("channels", "activations")),
        ("params", '"layers.1"', False),
        ("weights", '"layers.1.mlp"', False),
        ("macs", '"layers.2"', False),
        ("activations", '"layers.0"', False),
    ]
    assert claim(made, "params").slim <= 0.8 * claim(made, "params").dense
    memory, parts = claim(made, "memory"), [claim(made, m) for m in ("weights", "activations")]
    assert memory.slim == sum(p.slim for p in parts)
    assert memory.dense == sum(p.dense for p in parts)


def test_every_figure_is_the_module_s(made: Compiled) -> None:
    named = dict(made.module.named_parameters())
    inside = sum(p.numel() for n, p in named.items() if n.startswith("layers.1."))
    mlp = sum(4 * p.numel() for n, p in named.items() if n.startswith("layers.1.mlp."))
    assert claim(made, "params").slim == sum(p.numel() for p in named.values())
    assert claim(made, "params", '"layers.1"').slim == inside
    assert claim(made, "weights", '"layers.1.mlp"').slim == mlp
    assert 0 <= claim(made, "weights").slim - len(made.files["slim.safetensors"]) < 1000


DOCTORED = [
    ("params", None),
    ("macs", None),
    ("weights", None),
    ("params", '"layers.1"'),
    ("weights", '"layers.1.mlp"'),
]


@pytest.mark.parametrize(("metric", "scope"), DOCTORED)
def test_a_bound_that_is_not_held_is_found(made: Compiled, metric: str, scope: str | None) -> None:
    true = claim(made, metric, scope)
    lower = len(made.files["slim.safetensors"]) if (metric, scope) == DOCTORED[2] else true.slim
    exact = replace(true, bound=lower)
    assert costs.run(question(made), (exact,)).diagnostics == ()
    found = costs.run(question(made), (replace(true, bound=lower - 1),))
    assert [d.code for d in found.diagnostics] == ["P0808"]
    assert metric in found.diagnostics[0].message
    assert (scope or "") in found.diagnostics[0].message


@pytest.mark.parametrize(("metric", "scope"), [c for c in DOCTORED if c[0] != "macs"])
def test_a_figure_that_is_too_small_is_found(
    made: Compiled, metric: str, scope: str | None
) -> None:
    true = claim(made, metric, scope)
    found = costs.run(question(made), (replace(true, slim=true.slim // 2, bound=None),))
    assert [d.code for d in found.diagnostics] == ["P0809"]
    assert metric in found.diagnostics[0].message


def test_a_larger_module_than_planned_is_found(made: Compiled) -> None:
    found = costs.run(question(made, spread(Transformer())), made.plan.costs)
    assert {d.code for d in found.diagnostics} == {"P0808"}
    assert len(found.diagnostics) == 3  # the file is the smaller one's


def test_a_proof_refuses_a_claim_that_does_not_hold(made: Compiled) -> None:
    module = spread(Transformer())
    traced: Traced = trace.run(module, (X,))
    doctored = replace(claim(made, "params"), bound=1)
    told = Claim(made.removed, made.module, made.files, costs=(doctored,))
    with pytest.raises(PruneError, match="P0808"):
        proof.run(Subject(module, (X,), {}, None), traced, told)


def test_verify_counts_again(made: Compiled) -> None:
    module = spread(Transformer())
    assert prunec.verify(module, made, args=(X,)).passed
    lies = replace(made.plan, costs=(replace(claim(made, "macs"), bound=1),))
    found = prunec.verify(module, replace(made, plan=lies), args=(X,))
    assert not found.passed
    assert [d.code for d in found.diagnostics if d.severity == "error"] == ["P0808"]


def test_amounts_that_look_alike_are_written_out(made: Compiled) -> None:
    cost = Cost("weights", None, 10**6, 10**6, 50_000)
    asked = replace(question(made), weights=bytes(50_001))
    (fault,) = costs.run(asked, (cost,)).diagnostics
    assert fault.message.endswith("50_001B, asked 50_000B")
    (fault,) = costs.run(asked, (replace(cost, bound=45_000),)).diagnostics
    assert fault.message.endswith("48.83KiB, asked 43.95KiB")


def test_what_torch_does_not_count_is_said(made: Compiled) -> None:
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            y, _ = self.lstm(x)
            out: Tensor = self.head(y)
            return out

    spec = "target macs <= 70%\nprune channels { score l2 }\nrepair none\n"
    found = prunec.compile(spec, model=Remembers().eval(), args=(X,))
    (check,) = (c for c in found.report.checks if c.name == "the budgets hold")
    assert check.passed
    assert check.detail.endswith("; not counted: macs")
