"""The certificate of a plan in the report: a table for people, values for machines."""

from __future__ import annotations

from torch import nn

import prunec

SPEC = "target macs <= 50%\nprune channels {{ score l2 }}\nsolve {}\nrepair none\n"


def test_the_report_shows_loss_bound_gap_and_seconds() -> None:
    import torch

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3))
    found = prunec.compile(
        SPEC.format("milp(gap=0)"), model=model, args=(torch.zeros(2, 6),), check=False
    )
    plan, shown = found.plan, found.report.as_dict()["plan"]
    assert isinstance(shown, dict)
    assert (shown["objective"], shown["bound"]) == (plan.objective, plan.bound)
    assert shown["gap"] == plan.gap
    assert shown["gap"] < 1e-8
    assert shown["seed"] is None
    assert shown["seconds"] > 0
    head, line = _table(str(found.report))
    assert head.split() == ["plan", "by", "loss", "bound", "gap", "seed", "seconds"]
    assert line.split()[:2] == ["milp", f"{plan.objective:.6g}"]
    assert "0.00%" in line


def _table(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    at = next(i for i, each in enumerate(lines) if each.startswith("plan by"))
    return lines[at], lines[at + 2]
