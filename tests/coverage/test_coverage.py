"""The coverage command on models of our own: records, misses, tables."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import torch

from prunec.emit import census
from tests.coverage import __main__ as command
from tests.coverage import record, sources, table, zoo
from tests.coverage.one import measure
from tests.coverage.record import Record
from tests.coverage.zoo.case import Built, Case


class Held(torch.nn.Module):
    """576 of 600 parameters only make what is returned; one hidden unit of two can go."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Linear(8, 64)
        self.small = torch.nn.Sequential(torch.nn.Linear(8, 2), torch.nn.Linear(2, 2))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.wide(x), self.small(x)


def test_a_model_is_compiled_to_the_target_and_tabled(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    assert command.main(["own/residual", *out]) == 0
    (found,) = record.load(tmp_path)
    assert (found.name, found.status, found.frontend) == ("own/residual", "equal", "export")
    assert found.known == 1
    assert found.parameters == 2042
    assert found.reachable == pytest.approx(2036 / 2042)
    assert found.macs is not None
    assert 0.5 <= found.macs[1] / found.macs[0] <= 0.6
    assert found.error is not None
    assert found.error < 1e-9
    assert found.clean_room
    assert set(found.modes) >= {"eval", "train"}
    assert (found.fixed, found.formatted, found.linted, found.typed) == (True,) * 4
    assert (found.classes, found.private) == (1, {})
    text = (tmp_path / "sources" / "own_residual.py").read_text()
    assert census.run(text).lines == found.lines
    page = (tmp_path / "coverage.md").read_text()
    assert "| own | 1 | 1 (100%) | 0 | 0 | - | 100% | 99.7% |" in page
    assert json.loads((tmp_path / "coverage.json").read_text())["summary"][0]["equal"] == 1
    assert f"| own | 1 | {found.lines} | 1 | 100% of {found.calls} | 100% | 100% |" in page
    assert f"| {found.lines} lines, 1 classes, {found.calls} calls | ok |" in page
    written = record.path(tmp_path, "own/residual").stat().st_mtime_ns
    assert command.main(["own/residual", *out]) == 0
    assert record.path(tmp_path, "own/residual").stat().st_mtime_ns == written


def test_an_operator_without_equations_is_named_and_what_it_holds() -> None:
    (case,) = zoo.find(["own/behind"], ())
    found = measure(case)
    assert found.status == "equal"
    assert found.nodes is not None
    assert found.known == pytest.approx(1 - 1 / found.nodes)
    assert [(row["op"], row["count"]) for row in found.refused] == [("aten.stft.default", 1)]
    assert found.refused[0]["line"].startswith("tests/coverage/zoo/own.py:")
    assert any("stft" in row["reason"] for row in found.held)


def test_what_goes_wrong_is_a_record() -> None:
    def broken() -> Built:
        raise ArithmeticError("no model today")

    def slow() -> Built:
        time.sleep(5)
        raise AssertionError

    crash = measure(Case("own", "broken", broken))
    assert (crash.status, crash.stage) == ("crash", "building")
    assert crash.reason.startswith("ArithmeticError: no model today (at test_coverage.py:")
    late = measure(Case("own", "slow", slow), timeout=0.1)
    assert (late.status, late.stage) == ("timeout", "building")


def test_a_target_out_of_reach_is_told_and_a_milder_one_proved() -> None:
    held = Case("own", "held", lambda: Built(Held().eval(), (torch.randn(2, 8),)))
    found = measure(held)
    assert found.status == "above"
    asked = [text.split("\n")[0].partition(" cannot")[0] for text in found.least]
    assert asked == [
        "error[P0601]: target `macs <= 60%`",
        "error[P0601]: target `params <= 60%`",
    ]
    assert found.target == "params <= 99%"
    assert found.params == (600, 589)
    assert found.error is not None


def test_a_process_that_dies_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = command.one(zoo.find(["own/residual"])[0], timeout=5)
    assert found.status == "crash"
    assert "ended with 1" in found.reason


def test_a_library_that_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main(["timm/*", "--out", str(tmp_path)]) == 0
    assert "timm is not installed" in capsys.readouterr().out
    assert command.main(["nothing/*", "--out", str(tmp_path)]) == 2


def test_a_wrong_output_is_counted_and_shown(tmp_path: Path) -> None:
    for found in (
        Record("timm/a", "wrong", "proving", "error[P0801]: the slim module is not the original"),
        Record("timm/b", "timeout", "tracing", "not done after 300 s, while tracing"),
        Record("timm/c", "equal", "writing", reachable=0.9999, known=1.0),
    ):
        file = record.path(tmp_path, found.name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(found.json())
    assert command.main(["render", "--out", str(tmp_path)]) == 1
    page = table.markdown(record.load(tmp_path), "today")
    assert "| timm | 3 | 1 (33.3%) | 0 | 1 | 1 timeout | 100% | 99.9% |" in page
    assert "| a | - | - | - | - | - | NO |" in page
    assert "- **timeout**: not done after ### s, while tracing: 1 models: timm/b" in page


def test_what_is_not_clean_is_told_and_counted(tmp_path: Path) -> None:
    bad = Record("own/bad", "equal", lines=2, classes=0, calls=4, modes={"eval": 2}, fixed=False)
    sources.fill(bad, "import os\nx  = 1\ndef f(): return torch.ops.aten.a.b(1)\n")
    assert (bad.formatted, bad.linted, bad.private) == (False, False, {"aten.a.b": 1})
    file = record.path(tmp_path, bad.name)
    file.parent.mkdir()
    file.write_text(bad.json())
    sources.keep(tmp_path / "sources", bad.name, "x: int = 'a'\n")
    sources.check_types(tmp_path, tmp_path / "sources")
    (found,) = record.load(tmp_path)
    assert found.typed is False
    told = "1 aten.a.b, no fixed point, ruff format, ruff check, mypy, one mode only"
    assert sources.cells(found) == ("3 lines, 0 classes, 1 calls", told)
    assert sources.summary([found, Record("own/none")])["public"] == 0


def test_names_are_found_by_glob() -> None:
    assert [c.full for c in zoo.find(["resnet5?"])] == ["torchvision/resnet50"]
    assert [c.full for c in zoo.find(["own/*"])] == ["own/residual", "own/behind"]
    names = [c.full for suite in zoo.SUITES for c in zoo.find([], [suite])]
    assert len(names) == len(set(names))
