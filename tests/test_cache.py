"""The cache on disk: what is written comes back; what is damaged or foreign does not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from prunec import cache
from prunec.cache import Cache

KEY = cache.key("a", "b")
TENSORS = {"order": torch.tensor([2, 0, 1]), "loss": torch.tensor([0.0, 0.1, 1 / 3]).double()}


def only(folder: Path) -> Path:
    (found,) = (p for p in folder.rglob("*") if p.is_file())
    return found


def test_what_is_kept_comes_back_to_the_bit(tmp_path: Path) -> None:
    one = Cache(tmp_path)
    one.keep_tensors(KEY, TENSORS)
    one.keep_number(KEY, 0.1 + 0.2)
    found = Cache(tmp_path).tensors(KEY)
    assert found is not None
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[n], t) for n, t in TENSORS.items())
    assert Cache(tmp_path).number(KEY) == 0.1 + 0.2
    assert not one.notes
    assert not list(tmp_path.rglob("*.part"))


def test_keys_are_of_the_parts_and_not_of_their_sum() -> None:
    keys = {cache.key(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"))}
    assert len(keys) == 4


def test_nothing_is_known_at_first_and_nothing_without_a_folder(tmp_path: Path) -> None:
    assert Cache(tmp_path).number(KEY) is None
    assert Cache(tmp_path).tensors(KEY) is None
    off = Cache()
    off.keep_number(KEY, 1.0)
    off.keep_tensors(KEY, TENSORS)
    assert off.number(KEY) is None
    assert off.tensors(KEY) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_is_not_kept(tmp_path: Path, value: float) -> None:
    Cache(tmp_path).keep_number(KEY, value)
    assert not list(tmp_path.iterdir())


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """The last digit of a number, or the last byte of a tensor, is another one."""
    at = data.rindex(b"}") - 1 if data.endswith(b"}") else len(data) - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("kind", ["tensors", "number"])
@pytest.mark.parametrize("spoil", [cut, flipped, lambda _: b"", lambda _: b"[1, 2]"])
def test_a_spoilt_file_is_ignored_by_name_and_written_again(
    tmp_path: Path, kind: str, spoil: object
) -> None:
    value = TENSORS if kind == "tensors" else 0.25
    getattr(Cache(tmp_path), f"keep_{kind}")(KEY, value)
    path = only(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    known = Cache(tmp_path)
    assert getattr(known, kind)(KEY) is None
    (note,) = known.notes
    assert note.code == "P0610"
    assert note.severity == "note"
    assert str(path) in note.message
    getattr(known, f"keep_{kind}")(KEY, value)
    again = Cache(tmp_path)
    assert getattr(again, kind)(KEY) is not None
    assert not again.notes


def test_a_file_of_another_key_or_program_is_foreign(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), cache.key("other")
    one.keep_number(KEY, 0.5)
    path = only(tmp_path)
    moved = tmp_path / other[:2] / f"{other[2:]}.json"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    assert one.number(other) is None
    path.write_text(json.dumps({"value": 0.5, "tool": "another"}))
    assert one.number(KEY) is None
    assert [n.code for n in one.notes] == ["P0610", "P0610"]


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known = Cache(tmp_path / "file")
    known.keep_number(KEY, 1.0)
    known.keep_tensors(KEY, TENSORS)
    assert [n.code for n in known.notes] == ["P0611"]
    assert known.number(KEY) is None


def test_the_folder_is_the_users_own_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, "/somewhere")
    assert cache.default() == Path("/somewhere")
    monkeypatch.delenv(cache.VARIABLE)
    assert cache.default().name == "prunec"
