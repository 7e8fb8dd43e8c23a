"""What the user reads: every `name.prune` beside it has its diagnostics in `name.txt`, to the
letter.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prunec.diagnostics import Diagnostic, PruneError, render
from prunec.grammar import read_source
from prunec.spec import load, unmatched
from tests.conftest import Golden
from tests.spec.resnet import MODULES

FOLDER = Path(__file__).parent
PAGES = FOLDER.parents[1] / "prunec" / "docs" / "codes"
CASES = sorted(FOLDER.glob("*.prune"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_diagnostics(case: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    found = _diagnostics(case.name)
    golden.check(case.with_suffix(".txt"), "\n\n".join(map(render, found)) + "\n")


def test_every_code_of_the_language_has_a_page_and_a_case() -> None:
    root = FOLDER.parents[1]
    files = [*root.glob("grammar/*.py"), *root.glob("prunec/spec/*.py")]
    raised = {code for f in files for code in re.findall(r'"(P0[12]\d\d)"', f.read_text())}
    pages = {page.stem for page in PAGES.glob("P0[12]*.md")}
    shown = {
        code for c in CASES for code in re.findall(r"P\d{4}", c.with_suffix(".txt").read_text())
    }
    of_bytes = {"P0106", "P0107", "P0108"}
    assert raised == pages == shown | of_bytes


def test_pages_are_titled_by_their_code() -> None:
    for page in PAGES.glob("*.md"):
        assert page.read_text(encoding="utf-8").startswith(f"# {page.stem}: ")


def _diagnostics(name: str) -> tuple[Diagnostic, ...]:
    """The faults of a file, or of its selectors on the modules of a ResNet-56."""
    try:
        spec = load(read_source(name))
    except PruneError as error:
        return error.diagnostics
    return tuple(d for selector in spec.selectors for d in unmatched(selector, MODULES))
