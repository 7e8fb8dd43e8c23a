"""The committed output of an example is what its `.prune` file gives, and the README shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import prunec
from examples.resnet56 import data
from prunec.cli import main

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"


def test_digits_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = prunec.compile(DIGITS / "digits.prune", out=tmp_path / "slim", check=False)
    assert made.source == (DIGITS / "slim" / "slim.py").read_text()
    assert made.report.accuracy is not None
    assert made.report.accuracy.slim > 0.95


def test_the_digits_artefact_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (
        main(["check", "examples/digits/digits.prune", "--artifact", "examples/digits/slim"]) == 0
    )


@pytest.mark.skipif(not data.available(), reason="the CIFAR-10 images are not here")
@pytest.mark.parametrize("depth", [20, 56])
def test_resnets_check(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check", f"examples/resnet56/resnet{depth}.prune"]) == 0


def test_spec_files_are_canonical() -> None:
    assert main(["fmt", "--check", *map(str, (ROOT / "examples").glob("*/*.prune"))]) == 0


@pytest.mark.parametrize("file", ["digits.prune", "slim/slim.py"])
def test_the_readme_shows_what_is_there(file: str) -> None:
    shown = re.search(rf"<!-- {file} -->\n```\w+\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    assert shown[1].strip() in (DIGITS / file).read_text()
