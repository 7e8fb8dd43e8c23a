"""Factories are found beside the spec, and their faults are told in the user's terms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prunec import PruneError, factory


@pytest.fixture(autouse=True)
def _clean() -> object:
    path, modules = list(sys.path), set(sys.modules)
    yield
    assert sys.path == path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def _write(folder: Path, text: str, name: str = "made_here.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def _fault(target: str, folder: Path, **arguments: object) -> str:
    with pytest.raises(PruneError) as caught:
        factory.call(target, arguments, folder=folder)
    return str(caught.value)


def test_arguments_arrive(tmp_path: Path) -> None:
    folder = _write(tmp_path, "def double(x): return 2 * x\n")
    assert factory.call("made_here:double", {"x": 4}, folder=folder) == 8


def test_dotted_attributes(tmp_path: Path) -> None:
    folder = _write(tmp_path, "class A:\n    @staticmethod\n    def f(): return 7\n")
    assert factory.call("made_here:A.f", folder=folder) == 7


def test_namesakes_of_two_folders_do_not_mix(tmp_path: Path) -> None:
    one = _write(tmp_path / "one", "def f(): return 1\n")
    two = _write(tmp_path / "two", "def f(): return 2\n")
    assert [factory.call("made_here:f", folder=f) for f in (one, two, one)] == [1, 2, 1]


def test_no_module(tmp_path: Path) -> None:
    text = _fault("absent_module.deep:f", tmp_path)
    assert "P0301" in text
    assert "there is no module `absent_module`" in text


def test_module_that_raises(tmp_path: Path) -> None:
    text = _fault("made_here:f", _write(tmp_path, "x = 1\nx.nothing\n"))
    assert "P0301" in text
    assert "AttributeError" in text
    assert "made_here.py:2, in <module>: x.nothing" in text


def test_module_with_a_missing_dependency(tmp_path: Path) -> None:
    text = _fault("made_here:f", _write(tmp_path, "import absent_dependency\n"))
    assert "importing `made_here` failed: ModuleNotFoundError" in text


def test_module_that_exits(tmp_path: Path) -> None:
    assert "SystemExit" in _fault("made_here:f", _write(tmp_path, "raise SystemExit(3)\n"))


def test_no_attribute(tmp_path: Path) -> None:
    text = _fault("made_here:resnet65", _write(tmp_path, "def resnet56(): ...\n"))
    assert "P0302" in text
    assert "did you mean `resnet56`?" in text


def test_not_callable(tmp_path: Path) -> None:
    assert "is a int, which cannot be called" in _fault("made_here:x", _write(tmp_path, "x = 1\n"))


def test_factory_that_raises(tmp_path: Path) -> None:
    folder = _write(tmp_path, "def f(split):\n    raise KeyError(split)\n")
    text = _fault("made_here:f", folder, split="trian")
    assert "P0303" in text
    assert "`made_here:f` raised KeyError: 'trian'" in text
    assert "made_here.py:2, in f: raise KeyError(split)" in text


def test_unknown_argument(tmp_path: Path) -> None:
    text = _fault("made_here:f", _write(tmp_path, "def f(): ...\n"), x=1)
    assert "unexpected keyword argument 'x'" in text
