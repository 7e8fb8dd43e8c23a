"""Writing to disk: all or nothing, and nothing of anybody else's is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from prunec.diagnostics import InternalError, PruneError
from prunec.emit import files

LOCK = json.dumps({"tool": "prunec"})
ARTEFACTS: dict[str, bytes | str] = {
    "slim.py": "x = 1\n",
    "slim.safetensors": b"\0\1",
    "slim.lock.json": LOCK,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def code(error: pytest.ExceptionInfo[PruneError]) -> str:
    return error.value.diagnostics[0].code


def test_writes_text_and_bytes_into_a_new_folder(tmp_path: Path) -> None:
    files.write(tmp_path / "a" / "build", ARTEFACTS)
    assert contents(tmp_path / "a" / "build") == {
        "slim.py": b"x = 1\n",
        "slim.safetensors": b"\0\1",
        "slim.lock.json": LOCK.encode(),
    }
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["build"]


def test_replaces_an_earlier_compile_and_its_stale_files(tmp_path: Path) -> None:
    build = tmp_path / "build"
    files.write(build, {**ARTEFACTS, "slim.onnx": b"old"})
    (build / "__pycache__").mkdir()
    files.write(build, {**ARTEFACTS, "slim.py": "x = 2\n"})
    assert sorted(contents(build)) == ["slim.lock.json", "slim.py", "slim.safetensors"]
    assert (build / "slim.py").read_text() == "x = 2\n"


def test_keeps_another_models_files(tmp_path: Path) -> None:
    files.write(tmp_path / "build", ARTEFACTS)
    files.write(tmp_path / "build", {"other.py": "y\n", "other.lock.json": LOCK})
    assert sorted(contents(tmp_path / "build")) == [
        "other.lock.json",
        "other.py",
        "slim.lock.json",
        "slim.py",
        "slim.safetensors",
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        {"notes.txt": "mine"},
        {"slim.lock.json": "{}"},
        {"slim.lock.json": "not json"},
        {"slim.lock.json": LOCK, "notes.txt": "mine"},
    ],
)
def test_refuses_a_folder_with_other_things(tmp_path: Path, foreign: dict[str, str]) -> None:
    for name, text in foreign.items():
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(PruneError) as error:
        files.write(tmp_path, ARTEFACTS)
    assert code(error) == "P0704"
    assert contents(tmp_path) == before


def test_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("mine")
    with pytest.raises(PruneError) as error:
        files.write(tmp_path / "build", ARTEFACTS)
    assert code(error) == "P0702"


def test_leaves_everything_as_it_was_when_a_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tmp_path / "build"
    files.write(build, ARTEFACTS)
    before = contents(build)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for folder in (build, tmp_path / "new" / "build"):
        with pytest.raises(PruneError, match="No space left") as error:
            files.write(folder, ARTEFACTS)
        assert code(error) == "P0703"
    assert contents(build) == before
    assert [p.name for p in tmp_path.iterdir()] == ["build"]


def test_puts_the_old_folder_back_when_the_last_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tmp_path / "build"
    files.write(build, ARTEFACTS)
    rename = Path.rename

    def fragile(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fragile)
    with pytest.raises(PruneError, match="Permission denied"):
        files.write(build, {"slim.py": "", "slim.lock.json": LOCK})
    assert sorted(contents(build)) == sorted(ARTEFACTS)
    assert [p.name for p in tmp_path.iterdir()] == ["build"]


def test_takes_plain_file_names_only(tmp_path: Path) -> None:
    for name in ("../slim.py", "a/b.py", "", ".."):
        with pytest.raises(InternalError):
            files.write(tmp_path / "build", {name: ""})
    assert not (tmp_path / "build").exists()


def test_weights_have_the_same_bytes_in_any_order_and_layout() -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    first = {"b": whole[:, 1:3], "a": whole.t()}
    second = {"a": whole.t().contiguous(), "b": whole[:, 1:3].clone()}
    data = files.weights_bytes(first)
    assert data == files.weights_bytes(second)
    loaded = safetensors.torch.load(data)
    assert torch.equal(loaded["a"], whole.t())
    assert torch.equal(loaded["b"], whole[:, 1:3])


def test_replaces_what_an_earlier_lock_lists(tmp_path: Path) -> None:
    build = tmp_path / "build"
    lock = json.dumps({"tool": "prunec", "files": {"slim.py": "", "config.json": ""}})
    files.write(build, {"slim.py": "x", "config.json": "{}", "slim.lock.json": lock})
    files.write(build, {"other.py": "y", "other.lock.json": LOCK})
    assert "config.json" in contents(build)
    files.write(build, ARTEFACTS)
    assert sorted(contents(build)) == ["other.lock.json", "other.py", *sorted(ARTEFACTS)]
