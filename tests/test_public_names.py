"""The public names of prunec, and that importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import prunec

ROOT = Path(__file__).parents[1]


def test_names() -> None:
    assert prunec.__all__ == [
        "Analysis",
        "Compiled",
        "Diagnostic",
        "InternalError",
        "Plan",
        "PruneError",
        "Report",
        "analyze",
        "compile",
        "plan",
        "sweep",
        "verify",
    ]
    for name in prunec.__all__:
        assert getattr(prunec, name).__name__ == name
        assert name in dir(prunec)


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(prunec, "prune")


def test_import_does_not_import_torch() -> None:
    code = "import sys, prunec; sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == prunec.__version__
