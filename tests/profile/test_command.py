"""``prunec profile``, with a real clock that is read but once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunec import profile
from prunec.cli import main
from prunec.profile import build, clock, settings

MODEL = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
"""
SPEC = """
model tiny_profiled:net { input input: float32[N, 6] }
target latency <= 60% on cpu(threads=1)
target latency <= 80% on cpu(threads=1, batch=4)
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clock, "TURN", 1)
    monkeypatch.setattr(build, "TURNS", 1)
    monkeypatch.setattr(settings, "COUNT", 6)
    (tmp_path / "tiny_profiled.py").write_text(MODEL)
    (tmp_path / "tiny.prune").write_text(SPEC)
    return tmp_path / "tiny.prune"


def test_every_device_of_the_targets_is_measured(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(spec)]) == 0
    names = ["tiny.cpu-1t-b1.profile.json", "tiny.cpu-1t-b4.profile.json"]
    assert sorted(p.name for p in spec.parent.glob("*.json")) == names
    shown = capsys.readouterr().out
    assert "threads=1, batch=4" in shown
    found = profile.read(spec.parent / names[1])
    assert found.machine.batch == 4
    assert any(s.startswith("aten.linear") for s in found.units)


def test_one_device_into_a_file_of_ones_choice(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = spec.parent / "mine.json"
    arguments = ["profile", str(spec), "--on", "cpu(batch=2)", "--out", str(out)]
    assert main([*arguments, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["path"] == str(out)
    assert found["operators"] == 3
    assert profile.read(out).machine.batch == 2
    before = out.read_bytes()
    assert main(arguments) == 0
    assert out.read_bytes() == before, "nothing was missing"


def test_what_is_no_device_is_said(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(spec), "--on", "abacus"]) == 1
    assert "abacus" in capsys.readouterr().err
    assert main(["profile", str(spec), "--out", "x.json"]) == 2
    assert list(spec.parent.glob("*.json")) == []
