"""Targets out of reach: every `name.prune` beside it has in `name.txt`, to the letter, the user's
lines that conflict on one small model; and what is named is indeed a minimal conflict.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from prunec import audit, prepare
from prunec.diagnostics import Diagnostic, Source, render
from prunec.prepare import Job, Memory
from prunec.spec import load
from tests import profiles
from tests.conftest import Golden

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*.prune"))


class Net(nn.Module):
    """Five convolutions in a row, of 16 channels but for the last, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.neck = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for layer in self.body:
            x = torch.relu(layer(x))
        return self.head(torch.relu(self.neck(x)).mean((2, 3)))


NET = Memory(Net().eval(), (torch.zeros(1, 3, 8, 8),))


def diagnose(source: Source) -> tuple[Diagnostic, ...]:
    """What `prunec check` finds."""
    found = audit.run(Job(load(source, in_memory=True), Path(), NET), None)
    return tuple(d for d in found if d.severity == "error")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_diagnostics(case: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    spec, _ = prepare.read(case.name, in_memory=True)
    found = diagnose(spec.source)
    assert {d.code for d in found} == {"P0601"}
    golden.check(case.with_suffix(".txt"), "\n\n".join(map(render, found)) + "\n")


def lines(diagnostic: Diagnostic) -> list[int]:
    """The numbers of the lines that a diagnostic names."""
    assert diagnostic.span
    return [diagnostic.span.line, *(p.span.line for p in diagnostic.also)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_is_named_is_a_minimal_conflict(case: Path) -> None:
    """By deleting lines of the text: all but those named may go; then none of those may."""
    text = case.read_text()
    for found in diagnose(Source(case.name, text)):
        named = lines(found)
        only = keep_lines(text, named)
        assert [lines(d) for d in diagnose(Source("only", only))] == [named]
        for line in named[1:]:
            fewer = keep_lines(text, [n for n in named if n != line])
            assert not any(d.code == "P0601" for d in diagnose(Source("fewer", fewer)))


def test_three_of_seven_lines() -> None:
    text = (FOLDER / "three_of_seven.prune").read_text()
    stated = [n for n, row in enumerate(text.split("\n"), 1) if LIMITS.search(row)]
    assert len(stated) == 7
    (found,) = diagnose(Source("x", text))
    rows = text.split("\n")
    assert [rows[n - 1].strip() for n in lines(found)] == [
        "target macs   <= 35%",
        "keep >= 75%",
        'freeze "stem"',
    ]


LIMITS = re.compile(r"^ *(target|keep|freeze)\b")


def keep_lines(text: str, kept: list[int]) -> str:
    """The text with all other lines that limit anything emptied."""
    rows = text.split("\n")
    return "\n".join(
        row if n in kept or not LIMITS.search(row) else "" for n, row in enumerate(rows, 1)
    )


def test_a_freeze_does_not_rule_out_a_target_of_channels() -> None:
    """What is frozen is not counted, so that the line leaves no more of what is."""
    text = 'target channels <= 20%\nprune channels { keep >= 50% }\nfreeze "stem"\n'
    (found,) = diagnose(Source("x", text))
    assert lines(found) == [1, 2]


class Blocks(nn.Module):
    """Three residual blocks of the same size, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8)) for _ in range(3)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


@pytest.mark.parametrize("metric", ["macs <= 50%", "latency <= 50% on cpu", "weights <= 60%"])
def test_blocks_that_stay_are_blamed_on_their_line(metric: str) -> None:
    """One of two frozen blocks would fit, and both do not."""
    net = Blocks().eval()
    x = torch.zeros(2, 8)
    text = f"""target {metric}
prune blocks
freeze "blocks.0"
freeze "blocks.1.0"
"""
    job = Job(load(Source("x", text), in_memory=True), Path(), Memory(net, (x,)))
    found = audit.run(replace(job, profile=profiles.of(net, x)), None)
    (fault,) = (d for d in found if d.severity == "error")
    assert lines(fault) == [1, 3, 4]
