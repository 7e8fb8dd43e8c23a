"""What the cache is asked for on the whole road, and that it changes no result."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import driver, prepare
from prunec.cli import main
from prunec.driver import Planned
from prunec.ir.plan import Plan, Ranking
from prunec.passes.damage import Damage
from prunec.passes.score import Context
from prunec.prepare import Job, Memory
from tests.passes.small import Residual

X = torch.zeros(2, 3, 8, 8)
SPEC = "target macs <= {budget}\nprune channels {{ score {score} }}\nsolve {solve}\nrepair none\n"


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


def batches(seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(8, 3, 8, 8, generator=generator), torch.arange(8) % 5) for _ in range(2)]


class Run:
    """One plan, the stages that it went through, and the codes of what it said."""

    def __init__(
        self,
        net: nn.Module,
        cache: Path | None,
        *,
        data: Iterable[object] | None = None,
        budget: str = "50%",
        score: str = "obs",
        solve: str = "greedy",
    ) -> None:
        self.stages: list[str] = []
        text = SPEC.format(budget=budget, score=score, solve=solve)
        spec, folder = prepare.read(text, in_memory=True)
        given = batches() if data is None else data
        memory = Memory(net, (X,))
        job = Job(spec, folder, memory, calibrate=given, stage=self.stages.append, cache=cache)
        self.planned: Planned = driver.plan(job)
        self.plan: Plan = self.planned.plan
        self.codes = [d.code for d in self.planned.diagnostics]

    @property
    def scored(self) -> bool:
        return any(stage.startswith("scoring") for stage in self.stages)

    @property
    def measured(self) -> int:
        return sum(stage.startswith("measuring") for stage in self.stages)


def test_the_second_time_nothing_is_scored_whatever_the_budget(
    net: nn.Module, tmp_path: Path
) -> None:
    first = Run(net, tmp_path)
    assert first.scored
    assert "P0612" not in first.codes
    for budget in ("50%", "70%"):
        again = Run(net, tmp_path, budget=budget)
        assert not again.scored
        assert again.codes.count("P0612") == 1
        assert again.plan == Run(net, None, budget=budget).plan


def test_measured_losses_are_remembered_too(net: nn.Module, tmp_path: Path) -> None:
    solve = "fastnas(widths=3)"
    first = Run(net, tmp_path, solve=solve)
    assert first.measured > 2
    again = Run(net, tmp_path, solve=solve)
    assert again.measured == 0
    assert again.codes.count("P0612") == 2
    assert again.plan == first.plan == Run(net, None, solve=solve).plan
    assert again.plan.notes == first.plan.notes
    other = Run(net, tmp_path, solve=solve, budget="70%")
    assert other.measured <= 1, "the sensitivities are known"


def test_what_changes_is_scored_again(net: nn.Module, tmp_path: Path) -> None:
    Run(net, tmp_path)
    changed = copy.deepcopy(net)
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-6
    assert Run(changed, tmp_path).scored
    data = batches()
    data[1][0][0, 0, 0, 0] += 1e-6
    assert Run(net, tmp_path, data=data).scored
    assert Run(net, tmp_path, data=data[:1]).scored
    assert Run(net, tmp_path, score="obs(damping=0.1)").scored
    assert Run(net, tmp_path, score="taylor").scored
    assert not Run(net, tmp_path).scored


def test_a_spoilt_file_is_named_and_mended(net: nn.Module, tmp_path: Path) -> None:
    Run(net, tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    found = Run(net, tmp_path)
    assert found.scored
    assert found.codes.count("P0610") == 1
    again = Run(net, tmp_path)
    assert not again.scored
    assert "P0610" not in again.codes


def test_only_scores_that_read_data_are_kept(net: nn.Module, tmp_path: Path) -> None:
    Run(net, tmp_path, score="l2")
    assert Run(net, tmp_path, score="l2").scored
    assert not list(tmp_path.iterdir())


def test_python_keeps_nothing_unless_it_is_asked_to(
    net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNEC_CACHE", str(tmp_path / "default"))
    spec = SPEC.format(budget="50%", score="obs", solve="greedy")
    given = {"model": net, "args": (X,)}
    one = prunec.plan(spec, calibrate=batches(), **given)  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*.safetensors"))
    kept = str(tmp_path / "kept")
    two = prunec.plan(spec, calibrate=batches(), cache=kept, **given)  # type: ignore[arg-type]
    three = prunec.compile(
        spec,
        calibrate=batches(),
        cache=kept,
        check=False,
        **given,  # type: ignore[arg-type]
    )
    assert one == two == three.plan
    assert "P0612" in {d.code for d in three.report.diagnostics}


@pytest.mark.parametrize(
    "solve", ["dp(search=6)", "evolution(population=4, generations=2)", "fastnas", "lp"]
)
def test_solvers_that_measure_go_the_whole_road(net: nn.Module, solve: str) -> None:
    spec = SPEC.format(budget="50%", score="obs", solve=solve).replace("repair none\n", "")
    found = prunec.compile(
        spec + "target params <= 70%\n", model=net, args=(X,), calibrate=batches()
    )
    assert found.report.passed
    assert found.plan.bound is not None
    assert found.plan.bound <= found.plan.objective
    measured = solve != "lp"
    assert (found.plan.damage is not None) == measured
    assert any("calibration loss" in note for note in found.plan.notes) == measured


def test_a_search_never_measures_worse_than_plain_dp(net: nn.Module) -> None:
    plain = Run(net, None, solve="dp")
    one, two = (Run(net, None, solve="dp(search=12, seed=3)") for _ in range(2))
    assert one.plan == two.plan
    assert plain.plan.damage is None
    assert one.plan.damage is not None
    assert one.plan.damage <= _measured(plain)


def _measured(run: Run) -> float:
    """The calibration loss of a plan that nobody measured."""
    model, plan = run.planned.model, run.planned.plan
    traced = model.traced
    context = Context(traced.graph, traced.weights, model.axes, model.groups, run.planned.batches)
    orders = {}
    for group in model.groups:
        kept = plan.keep.get(group.name, range(group.size))
        gone = sorted(set(range(group.size)) - {*kept})
        orders[group.name] = Ranking(np.array([*gone, *kept]), np.zeros(group.size + 1))
    return Damage(context, orders)({name: len(kept) for name, kept in plan.keep.items()})


def test_fewer_batches_measure_on_fewer(net: nn.Module, tmp_path: Path) -> None:
    one = Run(net, tmp_path, solve="fastnas(widths=2, batches=1)")
    both = Run(net, tmp_path, solve="fastnas(widths=2)")
    assert both.measured == one.measured
    assert one.plan.damage != both.plan.damage


def test_the_command_line_keeps_scores_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEC_CACHE", "kept")
    (tmp_path / "cached_model.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def net():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))\n"
        "def batches():\n    torch.manual_seed(1)\n    return [torch.randn(8, 6)]\n"
    )
    (tmp_path / "net.prune").write_text(
        "model cached_model:net { input input: float32[N, 6] }\n"
        "data calibrate = cached_model:batches\n\ntarget macs <= 50%\n"
    )
    assert main(["plan", "net.prune", "--no-cache"]) == 0
    assert not Path("kept").exists()
    assert main(["plan", "net.prune"]) == 0
    assert "P0612" not in capsys.readouterr().err
    assert main(["plan", "net.prune"]) == 0
    assert "P0612" in capsys.readouterr().err
    assert main(["plan", "net.prune", "--no-cache"]) == 0
    assert "P0612" not in capsys.readouterr().err
