"""What is shipped is what git tracks, under one name each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP_WHEEL = (
    *(sys.executable, "-m", "pip", "wheel"),
    *("--quiet", "--no-deps", "--no-build-isolation"),
)
HOMES = {"prunec": "prunec", "passes": "prunec/passes", "grammar": "prunec/grammar"}


def test_wheel_holds_what_git_tracks(tmp_path: Path) -> None:
    tracked = _tracked()
    for file in ("pyproject.toml", "README.md", "LICENSE", *tracked):
        target = tmp_path / "source" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / file).read_bytes())
    subprocess.run(
        [*PIP_WHEEL, "--wheel-dir", str(tmp_path), str(tmp_path / "source")],
        check=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert shipped == {_installed(file) for file in tracked}


@pytest.mark.parametrize("package", ["passes", "grammar"])
def test_bare_import_is_refused(package: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"import {package}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert f"prunec.{package}" in found.stderr


def test_the_links_lead_home() -> None:
    for name in ("passes", "grammar"):
        link = ROOT / "prunec" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def _tracked() -> list[str]:
    """Files of the three source folders that git tracks, or would: links and ignored files not
    among them.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *HOMES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0 or importlib.util.find_spec("setuptools") is None:
        pytest.skip("needs a git checkout and setuptools")
    files = [f for f in listed.stdout.splitlines() if (ROOT / f).is_file()]
    return [f for f in files if not (ROOT / f).is_symlink()]


def _installed(file: str) -> str:
    top, _, rest = file.partition("/")
    return f"{HOMES[top]}/{rest}"
