"""Latency targets on the command line, and the whole road with a profile that was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import prunec
from prunec import PruneError, prepare, profile, understand
from prunec.cli import main
from prunec.profile import Sample, build, clock, settings, store
from prunec.spec import Cpu
from tests import profiles

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 32)
        self.two = nn.Linear(32, 3)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))


def net():
    torch.manual_seed(0)
    return Net()
"""
SPEC = """\
model latency_model:net {
  input x: float32[N, 6]
}

target latency <= 60% on cpu(threads=1, batch=1)

prune channels {
  score l1
}

repair none
emit   Slim to "out"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with its made-up profile beside it, on a machine where half the channels take 40% of
    the time.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latency_model.py").write_text(MODEL)
    (tmp_path / "net.prune").write_text(SPEC)
    found = Path("net.prune")
    store.write(profiles.made_up(understood(found)), beside(found))
    slow(monkeypatch, 0.8)
    return found


def understood(file: Path) -> understand.Understood:
    return understand.run(prepare.run(prepare.from_file(file)))


def beside(file: Path) -> Path:
    return profile.default_path(file.parent, file.name, Cpu())


def slow(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """A slim module takes so many times what its share of the parameters says."""

    def measure(modules: Sequence[nn.Module], *given: object) -> tuple[Sample, ...]:
        dense, slim = (1000 * sum(p.numel() for p in m.parameters()) for m in modules)
        return Sample(dense, 0, 1), Sample(round(factor * slim), 0, 1)

    monkeypatch.setattr(clock, "measure", measure)


def run(*argv: object) -> int:
    return main([str(a) for a in argv])


Captured = pytest.CaptureFixture[str]


def test_compile_shows_predicted_beside_measured(file: Path, capsys: Captured) -> None:
    assert run("compile", file) == 0
    out = capsys.readouterr().out
    assert "predicted latency on cpu(threads=1, batch=1)" in out
    assert "measured" in out
    assert Path("out/slim.py").exists()
    assert run("check", file, "--artifact", "out") == 0


def test_a_missed_target_is_a_finding_and_nothing_is_written(
    file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 20.0)
    assert run("compile", file) == 1
    err = capsys.readouterr().err
    assert "P0630" in err
    assert "net.prune:5:" in err
    assert not Path("out").exists()


def test_plan_and_check_measure_nothing(
    file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "measure", None)
    assert run("plan", file, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["latency"] == []
    assert found["costs"][-1]["metric"] == "latency on cpu(threads=1, batch=1)"
    assert run("check", file) == 0
    file.write_text(SPEC.replace("60%", "1%"))
    assert run("check", file) == 1
    err = capsys.readouterr().err
    assert "P0601" in err
    assert "as the device profile predicts" in err


def test_a_changed_profile_is_another_input(file: Path, capsys: Captured) -> None:
    assert run("compile", file) == 0
    found = store.read(beside(file))
    for unit in found.units.values():
        unit.points[0][-3] += 1
    store.write(found, beside(file))
    assert run("check", file, "--artifact", "out") == 1
    assert "the device profile differ" in capsys.readouterr().err


def test_without_a_profile_the_command_that_makes_it_is_told(file: Path, capsys: Captured) -> None:
    beside(file).unlink()
    for verb in ("plan", "compile", "check"):
        assert run(verb, file) == 1
        err = capsys.readouterr().err
        assert "P0620" in err
        assert 'prunec profile net.prune --on "cpu(threads=1, batch=1)"' in err


def test_widths_left_to_the_profile(file: Path) -> None:
    """Time grows with every channel here, so any width is as good as any other."""
    file.write_text(SPEC.replace("score l1", "score l1\n  keep multiple of auto"))
    found = prunec.plan(file)
    assert found.costs[-1].holds


def test_the_whole_road_with_a_real_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the clock says is the machine's: the target is held, or it is said that it is not."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Conv2d(24, 4, 3)
    ).eval()
    x = torch.randn(2, 3, 12, 12)
    monkeypatch.setattr(build, "TURNS", 2)
    monkeypatch.setattr(clock, "TURN", 100_000)
    monkeypatch.setattr(settings, "COUNT", 8)
    path = tmp_path / "net.profile.json"
    profile.run(understand.run(prepare.given(net, (x,), {})), Cpu(), path)
    given: dict[str, Any] = {"model": net, "args": (x,), "profile": path, "out": tmp_path / "out"}
    spec = "target latency <= 95% on cpu\nprune channels { score l2 }\nrepair none\n"
    try:
        made = prunec.compile(spec, **given)
    except PruneError as error:
        assert {d.code for d in error.diagnostics} == {"P0630"}  # noqa: PT017  either may be
        assert not (tmp_path / "out").exists()
        return
    (timing,) = made.report.timings
    assert made.report.passed
    assert timing.slim <= timing.bound < timing.dense
    assert len(made.report.checks) == 5
    assert (tmp_path / "out" / "slim.py").exists()
