"""An artefact is what its lock says, or the difference is named."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from prunec.check import artifact

SOURCE = b"import torch\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slim.py").write_bytes(SOURCE)
    (tmp_path / "slim.safetensors").write_bytes(b"weights")
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    return tmp_path


def _lock(**files: bytes) -> dict[str, Any]:
    given = files or {"slim.py": SOURCE, "slim.safetensors": b"weights"}
    return {"files": {name: hashlib.sha256(data).hexdigest() for name, data in given.items()}}


def _codes(folder: Path, lock: dict[str, Any]) -> list[str]:
    return [d.code for d in artifact.run(folder, lock)]


def test_unchanged(folder: Path) -> None:
    assert _codes(folder, _lock()) == []


def test_changed(folder: Path) -> None:
    (folder / "slim.safetensors").write_bytes(b"other")
    (folder / "slim.py").write_bytes(b"import os\n")
    assert _codes(folder, _lock()) == ["P0821", "P0812", "P0821"]


def test_missing(folder: Path) -> None:
    (folder / "slim.py").unlink()
    assert _codes(folder, _lock()) == ["P0820"]


@pytest.mark.parametrize("data", [b"def", b"\xff\xfe"])
def test_not_python(folder: Path, data: bytes) -> None:
    (folder / "slim.py").write_bytes(data)
    assert _codes(folder, _lock(**{"slim.py": data})) == ["P0822"]


def test_a_lock_that_lists_nothing_or_looks_elsewhere(folder: Path) -> None:
    assert _codes(folder, {}) == ["P0820"]
    assert _codes(folder, _lock(**{"../slim.py": SOURCE})) == ["P0820"]
