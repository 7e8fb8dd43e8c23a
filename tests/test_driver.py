"""The whole road on small models: what it gives, what it refuses, that a refusal leaves nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError
from prunec.driver import Compiled
from prunec.emit import load

BARE = "target macs <= 50%\nprune channels { score l2 }\nrepair none\n"
X = torch.zeros(2, 3, 8, 8)


class Small(nn.Module):
    """A convolution, a residual block and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(12, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.norm(self.back(torch.relu(self.inner(x)))))
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def batches(count: int = 2) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(8, 3, 8, 8, generator=generator)
        yield x, torch.randint(4, (8,), generator=generator)


def small(net: nn.Module, spec: str = BARE, **more: object) -> Compiled:
    return prunec.compile(spec, model=net, args=(X,), check=False, **more)  # type: ignore[arg-type]


def code(net: nn.Module, spec: str, **more: object) -> str:
    with pytest.raises(PruneError) as caught:
        small(net, spec, **more)
    return caught.value.diagnostics[0].code


# --- What it gives -------------------------------------------------------------------------------


def test_the_budget_holds_and_the_module_is_the_source(net: nn.Module) -> None:
    made = small(net)
    macs, params = made.report.costs
    assert macs.slim <= macs.dense // 2
    assert params.slim == sum(p.numel() for p in made.module.parameters())
    assert made.module(X).shape == (2, 4)
    again = load(made.source, made.module.state_dict(), "SlimSmall")
    assert torch.equal(again(X + 1), made.module(X + 1))


def test_one_target_is_a_whole_spec(net: nn.Module) -> None:
    made = small(net, "target macs <= 50%", calibrate=batches(), evaluate=batches())
    assert made.report.passed
    assert made.report.solver == "milp"
    assert made.report.accuracy is not None
    assert made.report.accuracy.count == 16


def test_the_proof_is_in_the_report(net: nn.Module, tmp_path: Path) -> None:
    made = prunec.compile(BARE, model=net, args=(X,), out=tmp_path / "out")
    assert len(made.report.checks) == 5
    assert made.report.passed
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(made.files)
    again = prunec.verify(net, made, args=(X,))
    assert again.checks == made.report.checks
    json.dumps(again.as_dict())


def test_verify_finds_a_module_that_is_something_else(net: nn.Module) -> None:
    made = small(net)
    made.module.norm.eps = 0.1  # type: ignore[union-attr]
    found = prunec.verify(net, made, args=(X,))
    assert not found.passed
    assert "P0801" in {d.code for d in found.diagnostics}


def test_verify_refuses_another_model(net: nn.Module) -> None:
    with pytest.raises(PruneError, match="P0831"):
        prunec.verify(nn.Linear(3, 4), small(net), args=(torch.zeros(2, 3),))


def test_the_model_is_left_as_it_was(net: nn.Module) -> None:
    before = copy.deepcopy(net.state_dict())
    net.train()
    small(net, "target macs <= 50%", calibrate=batches())
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_same_input_same_bytes(net: nn.Module) -> None:
    one, two = (small(net, "target macs <= 60%", calibrate=batches()) for _ in range(2))
    assert one.files == two.files


def test_plan_is_what_compile_does(net: nn.Module) -> None:
    assert prunec.plan(BARE, model=net, args=(X,)).keep == small(net).plan.keep


def test_freeze_keeps_channels(net: nn.Module) -> None:
    made = small(net, BARE + 'freeze "stem"\n')
    assert made.module.stem.weight.shape[0] == 8  # type: ignore[union-attr]
    assert made.module.inner.weight.shape[0] < 12  # type: ignore[union-attr]
    made = small(net, BARE + 'freeze inputs of "back"\n')
    assert made.module.inner.weight.shape[0] == 12  # type: ignore[union-attr]


def test_keep_and_multiple_hold(net: nn.Module) -> None:
    spec = 'target macs <= 80%\nprune channels { in "inner" score l1 keep >= 20%, multiple of 4 }\n'
    made = small(net, spec + "repair none")
    assert made.module.inner.weight.shape[0] in (4, 8)  # type: ignore[union-attr]


def test_analysis_says_why(net: nn.Module) -> None:
    found = prunec.analyze(net, args=(X,))
    assert [g.size for g in found.groups] == [8, 12]
    assert any("returns" in reason for reason, _ in found.reasons())
    values = found.as_dict()
    assert json.loads(json.dumps(values)) == values
    assert "inner" in str(found)


# --- What it says --------------------------------------------------------------------------------


def test_statements_without_effect_are_named(net: nn.Module) -> None:
    made = small(net, BARE + 'prune channels { in "inner" score l2 }\nfreeze "head"\n')
    assert [d.code for d in made.report.diagnostics] == ["P0504", "P0505"]


def test_half_a_group_names_the_others(net: nn.Module) -> None:
    with pytest.raises(PruneError) as caught:
        small(net, 'target macs <= 50%\nprune channels { in "stem" }\n', calibrate=batches())
    assert caught.value.diagnostics[0].code == "P0502"
    assert "is also made by `back`" in str(caught.value)


def test_refusals(net: nn.Module) -> None:
    assert code(net, "target macs <= 50%") == "P0411"
    assert code(net, BARE + 'freeze "**"') == "P0503"
    assert code(net, BARE + 'freeze "absent"') == "P0204"
    assert code(net, BARE.replace("50%", "1")) == "P0601"
    assert code(net, BARE.replace("50%", "100%")) == "P0602"
    assert code(net, "target macs <= 50%", calibrate=[]) == "P0401"
    assert code(net, "target macs <= 50%", calibrate=[X * torch.nan]) == "P0402"
    assert code(nn.Linear(4, 4), BARE) == "P0310"


def test_a_solver_that_measures_needs_data(net: nn.Module) -> None:
    with pytest.raises(PruneError) as caught:
        small(net, BARE + "solve dp(search=10)")
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.message) == ("P0411", "calibration data is needed by `dp`")
    assert "`solve milp`" in (fault.help or "")


def test_sparsity_is_a_budget_of_parameters(net: nn.Module) -> None:
    made = small(net, BARE.replace("macs <= 50%", "sparsity >= 33.3%"))
    (params,) = (c for c in made.report.costs if c.metric == "params")
    assert params.bound == params.dense - -(-333 * params.dense // 1000)
    assert params.slim <= params.bound
    assert params.slim == sum(p.numel() for p in made.module.parameters())


def test_a_kind_that_the_model_has_not(net: nn.Module) -> None:
    with pytest.raises(PruneError) as caught:
        small(net, "target macs <= 50%\nprune heads\nrepair none\n")
    assert caught.value.diagnostics[0].code == "P0507"
    assert "of these kinds" in str(caught.value)
    assert code(net, "target macs <= 50%\nprune vocabulary\nrepair none\n") == "P0507"


def test_no_group_at_all() -> None:
    with pytest.raises(PruneError) as caught:
        prunec.compile(BARE, model=nn.Linear(4, 4), args=(torch.zeros(2, 4),))
    assert caught.value.diagnostics[0].code == "P0501"
    assert "the model returns it" in str(caught.value)


def test_weights_that_are_no_numbers(net: nn.Module) -> None:
    net.head.weight.data[0, 0] = torch.nan  # type: ignore[union-attr, operator, index]
    assert code(net, BARE) == "P0308"


def test_a_refusal_leaves_nothing(net: nn.Module, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for spec in (BARE.replace("50%", "1"), "target macs <= 50%", "target"):
        code(net, spec, out=out)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert code(net, BARE, out=tmp_path / "mine") == "P0704"
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "thesis.txt"]
