"""The loop: plan, measure, tighten, plan again; never silently over a latency target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import prunec
from prunec import PruneError, lock, planning, prepare, tighten
from prunec.driver import Compiled
from prunec.formats import Slim
from prunec.passes.allocate import Budget
from prunec.planning import Planned
from prunec.prepare import Job, Memory
from prunec.profile import Profile, Sample, clock
from prunec.report.data import Timing
from prunec.spec import Target
from prunec.stopwatch import Measured
from tests import profiles

SPEC = "target latency <= 60% on cpu\nprune channels { score l2 }\nrepair none\n"
X = torch.zeros(2, 3, 8, 8)


class Small(nn.Module):
    """A stem, a body and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Conv2d(24, 16, 3))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(torch.relu(self.stem(x))).mean(dim=(2, 3)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def planned(net: nn.Module, text: str = SPEC, known: Profile | None = None) -> Planned:
    spec, folder = prepare.read(text, in_memory=True)
    job = Job(spec, folder, Memory(net, (X,)), profile=known or profiles.of(net, X))
    return planning.run(job, prepare.run(job))


def off_by(*factors: float) -> tuple[Callable[..., Measured], list[Planned]]:
    """A measurement that takes so many times the prediction, try by try, the last for all others.

    The dense model takes what is predicted.
    """
    seen: list[Planned] = []

    def measure(found: Planned, made: Slim, target: Target, budget: Budget) -> Measured:
        seen.append(found)
        factor = factors[min(len(seen), len(factors)) - 1]
        slim = round(factor * found.problem.cost(budget, found.widths))
        return Measured(sample(found.problem.cost(budget)), sample(slim))

    return measure, seen


def sample(ns: int) -> Sample:
    return Sample(ns, ns // 100, 10)


# --- The loop ------------------------------------------------------------------------------------


def test_a_plan_that_holds_is_measured_once(net: nn.Module) -> None:
    first = planned(net)
    measure, seen = off_by(0.99)
    found, (timing,) = tighten.run(first, measure)
    assert found is first
    assert seen == [first]
    assert (timing.holds, timing.tries) == (True, 1)
    assert timing.profiled_slim <= 0.6 * timing.profiled_dense
    assert timing.predicted == timing.profiled_slim
    assert timing.noise == pytest.approx(0.01, rel=0.1)


def test_a_plan_that_is_too_slow_is_tightened_by_its_error(net: nn.Module) -> None:
    first = planned(net)
    measure, seen = off_by(1.2)
    found, (timing,) = tighten.run(first, measure)
    assert len(seen) == timing.tries == 2
    assert timing.holds
    assert timing.profiled_slim * 1.2 <= timing.bound
    assert timing.error == pytest.approx(1.2, rel=1e-3)
    assert timing.predicted == pytest.approx(timing.slim, rel=1e-3)
    assert timing.bound == int(0.6 * timing.dense)
    assert found.widths != first.widths


def test_the_costs_of_a_tightened_plan_are_held_against_the_spec(net: nn.Module) -> None:
    first = planned(net)
    found, _ = tighten.run(first, off_by(1.2)[0])
    before, after = (
        next(c for c in each.plan.costs if c.metric.startswith("latency"))
        for each in (first, found)
    )
    assert before.bound == after.bound
    assert after.slim < before.slim


def test_every_try_is_below_the_last_and_there_are_only_so_many(net: nn.Module) -> None:
    measure, seen = off_by(1.1, 1.2, 1.3, 1.5)
    with pytest.raises(PruneError) as caught:
        tighten.run(planned(net), measure)
    (found,) = caught.value.diagnostics
    assert found.code == "P0630"
    assert len(seen) == tighten.TRIES
    costs = [p.plan.costs[-1].slim for p in seen]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    tries = [note for note in found.notes if note.startswith("try ")]
    assert len(tries) == tighten.TRIES
    assert "predicted/measured 0.87" in tries[-1]


def test_no_smaller_plan_is_a_finding_too(net: nn.Module) -> None:
    measure, seen = off_by(50.0)
    with pytest.raises(PruneError) as caught:
        tighten.run(planned(net), measure)
    (found,) = caught.value.diagnostics
    assert found.code == "P0630"
    assert len(seen) == 1
    assert any("no further plan" in note for note in found.notes)


def test_only_the_targets_that_are_missed_are_tightened(net: nn.Module) -> None:
    first = planned(net, SPEC + 'target latency <= 99% in "head" on cpu\n')
    found, timings = tighten.run(first, off_by(1.2)[0])
    assert [t.scope for t in timings] == [None, '"head"']
    assert all(t.holds for t in timings)
    assert found.problem is first.problem


def test_without_a_latency_nothing_is_measured(net: nn.Module) -> None:
    first = planned(net, "target macs <= 50%\nrepair none\nprune channels { score l2 }")
    measure, seen = off_by(1.0)
    assert tighten.run(first, measure) == (first, ())
    assert not seen


MISSED = Timing("t", "cpu", None, 600, 1000, 700, 1000, 600, 0.01, 1)


@given(
    predicted=st.integers(1, 10**9),
    slim=st.integers(1, 10**9),
    share=st.floats(0.0, 1.0, exclude_max=True),
    tries=st.integers(1, tighten.TRIES),
    bound=st.integers(1, 10**9),
)
def test_a_bound_always_falls(
    predicted: int, slim: int, share: float, tries: int, bound: int
) -> None:
    allowed = int(slim * share)
    missed = replace(MISSED, profiled_slim=predicted, slim=slim, bound=allowed, tries=tries)
    found = tighten.tighter(missed, bound)
    assert 0 <= found < predicted
    assert found * slim <= predicted * allowed


def test_what_differs_by_noise_alone_is_tightened_alike() -> None:
    found = {tighten.tighter(replace(MISSED, slim=ns), 600) for ns in (712, 713, 714)}
    assert len(found) == 1


# --- Through the compiler ------------------------------------------------------------------------


def compiled(net: nn.Module, monkeypatch: pytest.MonkeyPatch, slow: float, **more: Any) -> Compiled:
    """Compiled on a machine on which a module takes a microsecond per parameter, a slim one
    ``slow`` times as much.
    """

    def measure(
        modules: Sequence[nn.Module], args: Sequence[Any], kwargs: Mapping[str, Any], device: object
    ) -> tuple[Sample, ...]:
        for module in modules:
            assert not module.training
            module(*args, **kwargs)
        dense, slim = (1000 * sum(p.numel() for p in m.parameters()) for m in modules)
        return sample(dense), sample(round(slow * slim))

    monkeypatch.setattr(clock, "measure", measure)
    given = {"model": net, "args": (X,), "profile": profiles.of(net, X), "check": False}
    return prunec.compile(more.pop("spec", SPEC), **{**given, **more})


def test_predicted_and_measured_are_reported_side_by_side(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled(net, monkeypatch, 0.5)
    (timing,) = made.report.timings
    assert made.report.passed
    assert timing.slim == 500 * sum(p.numel() for p in made.module.parameters())
    (told,) = made.report.as_dict()["latency"]  # type: ignore[misc,attr-defined]
    assert told["slim"] == {
        "predicted_ns": timing.predicted,
        "measured_ns": timing.slim,
        "ratio": timing.predicted / timing.slim,
        "profile_ns": timing.profiled_slim,
    }
    assert "predicted" in str(made.report)
    assert "1 plan measured" in str(made.report)


def test_a_target_that_is_missed_leaves_nothing(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(PruneError, match="P0630"):
        compiled(net, monkeypatch, 100.0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_same_measurements_same_bytes(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (compiled(net, monkeypatch, 1.4) for _ in range(2))
    assert one.report.timings[0].tries > 1
    assert one.files == two.files


def test_the_lock_knows_the_profile_and_no_measurement(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (compiled(net, monkeypatch, slow) for slow in (0.5, 0.6))
    assert one.report.timings != two.report.timings
    assert one.files == two.files
    held = lock.read(one.files[lock.NAME])
    assert set(held["inputs"]) == {"spec", "graph", "weights", "profile"}


def test_plan_predicts_and_measures_nothing(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "measure", None)
    found = prunec.plan(SPEC, model=net, args=(X,), profile=profiles.of(net, X))
    cost = found.costs[-1]
    assert cost.metric == "latency on cpu(threads=1, batch=1)"
    assert cost.holds


def test_a_plan_of_the_callers_own_is_measured_and_not_tightened(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = prunec.plan(SPEC, model=net, args=(X,), profile=profiles.of(net, X))
    made = compiled(net, monkeypatch, 0.5, plan=given)
    assert made.plan.keep == given.keep
    assert made.report.timings[0].tries == 1
    with pytest.raises(PruneError, match="P0630") as caught:
        compiled(net, monkeypatch, 1.4, plan=given)
    assert sum(n.startswith("try ") for n in caught.value.diagnostics[0].notes) == 1


def test_a_plan_file_knows_its_profile(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known, other = profiles.of(net, X), profiles.of(net, X)
    next(iter(other.units.values())).points[0][-3] += 1
    path = tmp_path / "plan.json"
    prunec.plan(SPEC, model=net, args=(X,), profile=known, out=path)
    assert compiled(net, monkeypatch, 0.5, plan=path, profile=known).report.passed
    with pytest.raises(PruneError, match=r"P0640.*device profile"):
        compiled(net, monkeypatch, 0.5, plan=path, profile=other)


def test_a_sweep_of_latencies_measures_nothing(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "measure", None)
    found = prunec.sweep(
        SPEC,
        metric="latency",
        bounds=["80%", "50%"],
        model=net,
        args=(X,),
        profile=profiles.of(net, X),
    )
    slims = [plan.costs[-1].slim for _, plan in found if not isinstance(plan, tuple)]
    assert len(slims) == 2
    assert slims[1] < slims[0]


def test_a_part_is_what_is_measured(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = 'model { part "body" }\n' + SPEC
    known = profiles.of(net, X, part="body")
    made = compiled(net, monkeypatch, 0.5, spec=spec, profile=known)
    assert made.report.timings[0].dense == 1000 * sum(
        p.numel() for p in net.get_submodule("body").parameters()
    )
