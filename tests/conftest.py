"""What all tests share: golden files, and random cases that are the same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@dataclass(frozen=True)
class Golden:
    """Compares text with a file, or (``update``) makes the file say it."""

    update: bool

    def check(self, path: Path, actual: str) -> None:
        """Fail unless the file holds exactly the text."""
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        if not path.is_file():
            hint = "run pytest --update-golden and review"
            pytest.fail(f"there is no {path.name}: {hint}", pytrace=False)
        expected = path.read_text(encoding="utf-8")
        if expected != actual:
            rows = unified_diff(expected.splitlines(), actual.splitlines(), path.name, "actual")
            pytest.fail("\n".join(rows), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line keeps scores in a folder of each test's own."""
    monkeypatch.setenv("PRUNEC_CACHE", str(tmp_path / ".cache"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Golden files: ``golden.check(path, actual)``; ``pytest --update-golden`` rewrites them."""
    return Golden(update=request.config.getoption("--update-golden"))
