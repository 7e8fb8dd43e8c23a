"""Sweeps: one tracing, one scoring, many solves; what a front says, and its plots."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import prunec
from prunec import PruneError, plot, sweeping, understand
from prunec.diagnostics import Source
from prunec.ir.plan import Plan
from prunec.passes import score
from prunec.prepare import Job, Memory
from prunec.report.front import Front
from prunec.spec import Spec, load

SPEC = 'target macs <= 50%\ntarget params <= 90% in "0"\nprune channels { score l2 }\nrepair none\n'
X = torch.zeros(2, 6)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def spec(text: str = SPEC) -> Spec:
    return load(Source("x.prune", text), in_memory=True)


def front(text: str = SPEC, metric: str = "macs", *bounds: str) -> Front:
    job = Job(spec(text), Path(), Memory(net(), (X,)))
    return sweeping.front(*sweeping.run(job, metric, bounds or ("70%", "40%", "1%", "100%")))


# --- Solving -------------------------------------------------------------------------------------


def test_every_step_is_the_plan_of_its_own_spec() -> None:
    found = prunec.sweep(SPEC, metric="macs", bounds=["80%", 60, "30%"], model=net(), args=(X,))
    assert [bound for bound, _ in found] == ["80%", "60", "30%"]
    for bound, plan in found:
        text = SPEC.replace("50%", bound)
        assert isinstance(plan, Plan)
        assert plan == prunec.plan(text, model=net(), args=(X,))


def test_the_model_is_traced_and_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"traced": 0, "scored": 0}
    traced, scored = understand.run, score.run

    def trace(*given: Any, **more: Any) -> Any:
        counts["traced"] += 1
        return traced(*given, **more)

    def rank(*given: Any, **more: Any) -> Any:
        counts["scored"] += 1
        return scored(*given, **more)

    monkeypatch.setattr(understand, "run", trace)
    monkeypatch.setattr(score, "run", rank)
    bounds = [f"{share}%" for share in range(20, 90, 10)]
    found = prunec.sweep(SPEC, metric="macs", bounds=bounds, model=net(), args=(X,))
    assert len(found) == 7
    assert counts == {"traced": 1, "scored": 1}


def test_other_targets_stay_and_one_that_lacks_is_added() -> None:
    found = front(SPEC, "params", "60%")
    (step,) = found.steps
    assert step.plan
    assert [(c.metric, c.scope, c.bound is not None) for c in step.plan.costs] == [
        ("macs", None, True),
        ("params", None, True),
        ("params", '"0"', True),
    ]
    found = front(SPEC, 'params in "0"', "60%")
    assert [(c.metric, c.scope) for c in found.steps[0].plan.costs if c.bound] == [  # type: ignore[union-attr]
        ("macs", None),
        ("params", '"0"'),
    ]
    assert found.scope == '"0"'


def test_steps_that_cannot_be_met_are_rows() -> None:
    found = front()
    assert [step.plan is not None for step in found.steps] == [True, True, False, True]
    assert found.steps[2].faults[0].code == "P0601"
    met = front("target macs <= 50%\nprune channels { score l2 }\nrepair none", "macs", "100%")
    assert met.steps[0].faults[0].code == "P0602"
    found_ = prunec.sweep(SPEC, metric="macs", bounds=["1%"], model=net(), args=(X,))
    assert [d.code for d in found_[0][1]] == ["P0601"]  # type: ignore[union-attr]


def test_sparsity_is_bounded_from_below() -> None:
    found = front(SPEC, "sparsity", "30%", "60%")
    assert [step.target for step in found.steps] == ["sparsity >= 30%", "sparsity >= 60%"]
    assert all(step.plan and step.cost <= step.bound for step in found.steps)


def test_a_tighter_bound_never_loses_less() -> None:
    found = front(SPEC, "macs", *(f"{share}%" for share in range(90, 20, -10)))
    losses = [step.plan.objective for step in found.steps if step.plan]
    assert len(losses) == 7
    assert losses == sorted(losses)


# --- Ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count", "metric", "bounds"),
    [
        ("macs=70%..30%", 5, "macs", ("70%", "60%", "50%", "40%", "30%")),
        ("macs=70%..30%", 2, "macs", ("70%", "30%")),
        (" macs = 30% .. 70% ", 3, "macs", ("30%", "50%", "70%")),
        ("params=1K..2K", 4, "params", ("1K", "1_333", "1_667", "2K")),
        ("params=3..5", 9, "params", ("3", "4", "5")),
        ("sparsity=10%..90%", 3, "sparsity", ("10%", "50%", "90%")),
        ("macs=100%..0.5%", 4, "macs", ("100%", "66.83%", "33.67%", "0.5%")),
        ("memory=2KiB..1KiB", 3, "memory", ("2KiB", "1536B", "1KiB")),
        ('macs in "0"=60%..40%', 3, 'macs in "0"', ("60%", "50%", "40%")),
        (
            "latency on cpu(threads=2)=4ms..2ms",
            3,
            "latency on cpu(threads=2)",
            ("4ms", "3ms", "2ms"),
        ),
    ],
)
def test_ranges(text: str, count: int, metric: str, bounds: tuple[str, ...]) -> None:
    assert sweeping.parse(text, count, spec()) == (metric, bounds)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("macs", "P0646"),
        ("macs=", "P0646"),
        ("macs=70%", "P0646"),
        ("=70%..30%", "P0646"),
        ("macs=..30%", "P0646"),
        ("macs=70%..2M", "P0646"),
        ("mcas=70%..30%", "P0202"),
        ("macs=70ms..30ms", "P0207"),
        ("macs=170%..30%", "P0210"),
        ("macs=x..30%", "P0101"),
        ("macs=70%..30% target params <= 4", "P0646"),
        ('macs=70%..30% freeze "0"', "P0646"),
        ("latency=70%..30%", "P0217"),
        ("macs=70%..30% on cpu", "P0218"),
    ],
)
def test_what_is_no_range(text: str, code: str) -> None:
    with pytest.raises(PruneError) as caught:
        sweeping.parse(text, 3, spec())
    assert caught.value.diagnostics[0].code == code


def test_the_device_of_a_latency_is_that_of_the_spec() -> None:
    given = spec("target latency <= 80% on cpu(threads=2)")
    assert str(sweeping.target(given, "latency", "50%")) == (
        "latency <= 50% on cpu(threads=2, batch=1)"
    )
    with pytest.raises(PruneError, match="P0217"):
        sweeping.target(spec(), "latency", "50%")


def test_steps_are_exact() -> None:
    bounds = sweeping.steps("macs", "70%", "30%", 9, spec())
    assert [Decimal(b.rstrip("%")) for b in bounds] == [Decimal(70 - 5 * k) for k in range(9)]


# --- Plots ---------------------------------------------------------------------------------------


def test_plots_are_the_same_bytes_each_time() -> None:
    pytest.importorskip("matplotlib")
    found = front()
    svg = plot.draw(found, "svg")
    assert svg == plot.draw(found, "svg") == plot.draw(front(), "svg")
    assert b"macs, % of dense" in svg
    assert b"not possible" in svg
    assert b"<dc:date>" not in svg
    png = plot.draw(found, "png")
    assert png.startswith(b"\x89PNG")
    assert png == plot.draw(front(), "png")
    assert svg != plot.draw(front(SPEC, "macs", "60%", "50%"), "svg")


def test_the_users_own_style_is_not_drawn_with(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = plot.draw(front(), "svg")
    with matplotlib.rc_context({"lines.linewidth": 20.0, "svg.hashsalt": "x"}):
        assert plot.draw(front(), "svg") == before
        assert matplotlib.rcParams["lines.linewidth"] == 20.0


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(PruneError, match="P0647") as caught:
        plot.check_installed()
    assert 'pip install "prunec[plot]"' in str(caught.value)


def test_a_front_without_a_plan_is_drawn() -> None:
    pytest.importorskip("matplotlib")
    assert plot.draw(front(SPEC, "macs", "1%", "2%"), "svg")


def test_a_front_is_json() -> None:
    found = json.loads(json.dumps(front().as_dict(), allow_nan=False))
    assert [step["met"] for step in found["steps"]] == [True, True, False, True]
    assert found["steps"][0]["widths"].keys() == {"0", "2"}
    assert found["steps"][2]["diagnostics"][0]["code"] == "P0601"
