"""Building a profile on a machine that needs no time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prunec import profile
from prunec.diagnostics import PruneError
from prunec.ir.plan import Plan
from prunec.passes import latency, shrink
from prunec.passes.latency.units import timed
from prunec.profile import Meter, settings, store
from prunec.spec import Cpu, Cuda
from tests.profile.fakes import OVERHEAD, Fake, kernel, model

CPU = Cpu()


def code(error: pytest.ExceptionInfo[PruneError]) -> str:
    (found,) = error.value.diagnostics
    return found.code


def test_predictions_are_what_the_kernels_take(tmp_path: Path) -> None:
    net = model()
    found = profile.run(net, CPU, tmp_path / "p.json", meter=Fake().meter)
    units = latency.run(net.traced.graph, net.axes)
    for seed in range(10):
        draw = np.random.default_rng(seed)
        widths = {g.name: int(draw.integers(2, g.size + 1)) for g in net.groups}
        plan = Plan({n: tuple(range(w)) for n, w in widths.items()})
        slim = shrink.run(net.traced.graph, net.traced.weights, net.axes, net.groups, plan).graph
        truth = sum(kernel(slim, n) + OVERHEAD for n in slim.nodes if timed(n))
        by_atom = {g.atom.id: widths[g.name] for g in net.groups}
        predicted = profile.timed(found, net.traced.graph, units, CPU).total(by_atom)
        assert predicted == pytest.approx(truth, rel=0.02)


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    net, first, second = model(), Fake(dies=3), Fake()
    with pytest.raises(KeyboardInterrupt):
        profile.run(net, CPU, tmp_path / "p.json", meter=first.meter)
    seen: list[tuple[int, int]] = []
    profile.run(
        net,
        CPU,
        tmp_path / "p.json",
        meter=second.meter,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert sum(first.surveys) + sum(second.surveys) == settings.COUNT
    assert seen[0] == (sum(first.surveys), settings.COUNT)
    assert seen[-1] == (settings.COUNT, settings.COUNT)
    profile.run(net, CPU, tmp_path / "whole.json", meter=Fake().meter)
    assert (tmp_path / "p.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    net, fake = model(), Fake()
    profile.run(net, CPU, tmp_path / "p.json", meter=fake.meter)
    calls = len(fake.surveys)
    profile.run(net, CPU, tmp_path / "p.json", meter=fake.meter)
    assert len(fake.surveys) == calls
    before = (tmp_path / "p.json").read_bytes()
    profile.run(net, CPU, tmp_path / "p.json", again=True, meter=fake.meter)
    assert len(fake.surveys) == 2 * calls
    assert (tmp_path / "p.json").read_bytes() == before, "nothing of the first time is left"
    points = json.loads((tmp_path / "p.json").read_text())["units"]
    assert all(row[-1] > 0 for unit in points.values() for row in unit["points"])


def test_a_second_model_joins_the_first(tmp_path: Path) -> None:
    profile.run(model(), CPU, tmp_path / "p.json", meter=Fake().meter)
    other = model(nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 7, 1)))
    found = profile.run(other, CPU, tmp_path / "p.json", meter=Fake().meter)
    assert len(found.models) == 2
    for each in (model(), other):
        units = latency.run(each.traced.graph, each.axes)
        assert profile.timed(found, each.traced.graph, units, CPU).total() > 0


def test_units_that_were_not_measured_are_named(tmp_path: Path) -> None:
    found = profile.run(model(), CPU, tmp_path / "p.json", meter=Fake().meter)
    other = model(nn.Sequential(nn.Conv2d(3, 24, 5), nn.GELU(), nn.Conv2d(24, 7, 1)))
    units = latency.run(other.traced.graph, other.axes)
    with pytest.raises(PruneError) as error:
        profile.timed(found, other.traced.graph, units, CPU)
    assert code(error) == "P0621"
    assert 'prunec profile FILE --on "cpu(threads=1, batch=1)"' in str(error.value)
    assert "aten.gelu" in str(error.value)


def test_a_profile_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    made = profile.run(model(), CPU, path, meter=Fake().meter)
    for other in (Cpu(threads=2), Cpu(batch=4)):
        with pytest.raises(PruneError) as error:
            profile.run(model(), other, path, meter=Fake().meter)
        assert code(error) == "P0622"
    made.machine.torch = "1.0"
    store.write(made, path)
    with pytest.raises(PruneError) as error:
        profile.run(model(), CPU, path, meter=Fake().meter)
    assert code(error) == "P0622"
    assert "torch 1.0" in str(error.value)
    assert profile.run(model(), CPU, path, again=True, meter=Fake().meter).machine.torch != "1.0"


def test_a_profile_from_elsewhere_is_used_with_a_warning() -> None:
    here = profile.this(CPU, model().traced.graph)
    away = here.model_copy(update={"name": "another processor"})
    (warning,) = profile.differences(away, here)
    assert (warning.code, warning.severity) == ("P0623", "warning")
    assert "another processor" in warning.message
    assert profile.differences(here, here) == ()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(PruneError) as error:
        profile.run(model(), Cuda(), tmp_path / "p.json")
    assert code(error) == "P0624"


def test_a_model_of_a_fixed_batch(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(192, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = x.flatten(1).unbind(0)
            return self.two(torch.relu(self.one(torch.stack([a, b]))))

    with pytest.raises(PruneError) as error:
        profile.run(model(Two()), CPU, tmp_path / "p.json", meter=Fake().meter)
    assert code(error) == "P0625"
    found = profile.run(model(Two()), Cpu(batch=2), tmp_path / "q.json", meter=Fake().meter)
    assert found.machine.batch == 2


def test_settings_are_legal_and_the_first_is_dense() -> None:
    groups = model().groups
    for at in range(settings.COUNT):
        found = settings.widths(groups, at)
        assert all(max(1, g.least) <= found[g.name] <= g.size for g in groups)
        assert found == settings.widths(groups, at)
    assert settings.plan(groups, 0).keep == {}
    spread = [settings.widths(groups, at)[groups[0].name] for at in range(settings.COUNT)]
    assert len(set(spread)) > groups[0].size // 2


def test_breaks_are_looked_for_up_to_the_largest_sizes(tmp_path: Path) -> None:
    asked: dict[str, tuple[int, ...]] = {}

    def breaks(signature: str, largest: Sequence[int]) -> list[list[int]]:
        asked[signature] = tuple(largest)
        return [[] for _ in largest]

    profile.run(model(), CPU, tmp_path / "p.json", meter=Meter(survey=Fake().survey, breaks=breaks))
    (inner,) = (s for s in asked if "float32[1, a, 8, 8], float32[b, a, 3, 3]" in s)
    assert asked[inner] == (40, 40), "24 to 40 channels, and 40 to 32"
