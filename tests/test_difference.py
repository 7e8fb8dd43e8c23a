"""What two plans differ in: plan files and locks, sorted, counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import prunec
from prunec import PruneError, difference
from prunec.ir.plan import Plan

SPEC = "target macs <= {}%\nprune channels {{ score l2 }}\nsolve {}\nrepair none\n"
X = torch.zeros(2, 6)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def plan(path: Path, share: int = 50, solver: str = "dp", seed: int = 0) -> Plan:
    spec = SPEC.format(share, solver)
    return prunec.plan(spec, model=net(seed), args=(X,), out=path)


def lock(path: Path, share: int = 50) -> Path:
    made = prunec.compile(SPEC.format(share, "dp"), model=net(), args=(X,), check=False)
    path.write_bytes(made.files["slim.lock.json"])
    return path


def test_equal_plans(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    plan(a), plan(b)
    found = difference.run(a, b)
    assert found.equal
    assert found.as_dict()["groups"] == []


def test_versions_alone_are_no_difference(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    plan(a)
    b.write_text(a.read_text().replace(prunec.__version__, "0.0.9"))
    found = difference.run(a, b)
    assert found.equal
    assert [(v.name, v.b) for v in found.versions] == [("prunec", "0.0.9")]


def test_what_differs(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    first, second = plan(a, 80), plan(b, 30, "greedy")
    found = difference.run(a, b)
    assert found.inputs == ("spec",)
    assert [(v.name, v.a, v.b) for v in found.solver] == [("name", "dp", "greedy")]
    (objective,) = (v for v in found.figures if v.name == "objective")
    assert (objective.a, objective.b) == (first.objective, second.objective)
    spent = {c.metric: c for c in found.costs}
    assert set(spent) == {"macs", "params"}
    assert spent["macs"].a
    assert spent["macs"].a.slim == first.costs[0].slim
    for group in found.groups:
        size = {"0": 16, "2": 8}[group.name]
        left, right = (set(p.keep.get(group.name, range(size))) for p in (first, second))
        assert (group.size, group.a, group.b) == (size, len(left), len(right))
        assert (group.only_a, group.only_b) == (len(left - right), len(right - left))
    changes = [abs(g.b - g.a) for g in found.groups if g.a is not None and g.b is not None]
    assert changes == sorted(changes, reverse=True)
    assert len(found.groups) == 2


def test_same_widths_of_other_channels_are_told(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    plan(a)
    edited = json.loads(a.read_text())
    kept = edited["keep"]["2"]
    gone = next(k for k in range(8) if k not in kept)
    edited["keep"]["2"] = sorted([gone, *kept[1:]])
    b.write_text(json.dumps(edited))
    (group,) = difference.run(a, b).groups
    assert (group.a, group.only_a, group.only_b) == (group.b, 1, 1)


def test_locks_hold_plans(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", lock(tmp_path / "slim.lock.json")
    plan(a)
    assert difference.run(a, b).equal
    assert difference.run(b, a).equal
    found = difference.run(b, lock(tmp_path / "c", 30))
    assert found.inputs == ("spec",)
    assert not found.equal
    assert any(g.size is None for g in found.groups)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "P0641"),
        ("{}", "P0641"),
        ('{"tool": "prunec"}', "P0641"),
        ('{"tool": "prunec", "plan_version": 2}', "P0642"),
        ('{"tool": "prunec", "lock_version": 9}', "P0711"),
        ('{"tool": "prunec", "lock_version": 1}', "P0711"),
    ],
)
def test_what_holds_no_plan(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(PruneError, match=code):
        difference.side(tmp_path / "x")
    with pytest.raises(PruneError, match="P0641"):
        difference.side(tmp_path)


def test_groups_of_unknown_size_come_first(tmp_path: Path) -> None:
    def held(keep: dict[str, set[int]]) -> Any:
        frozen = {name: frozenset(kept) for name, kept in keep.items()}
        return difference.Side("x", {}, {}, {}, {}, {}, frozen, {"b": 8, "c": 8})

    found = difference.compare(
        held({"a": {1}, "b": {0, 1}, "c": set(range(8))}), held({"b": {0}, "d": {2}})
    )
    assert [(g.name, g.a, g.b, g.only_a) for g in found.groups] == [
        ("a", 1, None, None),
        ("d", None, 1, None),
        ("b", 2, 1, 1),
    ]
