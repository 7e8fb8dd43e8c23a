"""A lock is the same for the same input, and names what it was made from."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import nn

import prunec
from prunec import PruneError, lock
from prunec.ir.graph import Graph, Input, Ref, TensorType
from prunec.ir.plan import Cost, Plan

GRAPH = Graph("net", (), (Input("x", TensorType((2, 3), "float32")),), (), (), Ref("x"))
PLAN = Plan({"b": (0, 2, 5), "a": (1,)}, "dp", costs=(Cost("macs", None, 100, 50, 50),))


def _write(text: str = "target macs <= 50%", value: float = 1.0) -> bytes:
    found = lock.inputs(text, GRAPH, {"w": torch.tensor([value]), "a": torch.tensor(1)})
    return lock.write(found, {"targets": []}, PLAN, {"slim.py": b"pass\n"})


def test_same_input_same_bytes() -> None:
    assert _write() == _write()


def test_every_input_counts() -> None:
    assert len({_write(), _write(text="other"), _write(value=2.0)}) == 3


def test_content() -> None:
    data = _write()
    found = lock.read(data)
    assert found["plan"]["keep"] == {"a": [1], "b": [0, 2, 5]}
    assert found["files"] == {"slim.py": lock.digest(b"pass\n")}
    assert set(found["versions"]) == {"prunec", "python", "torch"}
    assert list(found) == sorted(found)
    assert b'"b": [0, 2, 5]' in data


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"{", "not JSON"), (b"[]", "not prunec's"), (b'{"tool": "prunec", "lock_version": 9}', "9")],
)
def test_what_is_no_lock(data: bytes, said: str) -> None:
    with pytest.raises(PruneError, match=said) as caught:
        lock.read(data)
    assert caught.value.diagnostics[0].code == "P0711"


def test_lists_of_other_things_stay_readable() -> None:
    found = lock.inputs("", GRAPH, {})
    spec = {"names": ["a", "b"], "empty": [], "mixed": [1, "[\n1"], "nested": [[1, 2], [3]]}
    data = lock.write(found, spec, PLAN, {})
    assert json.loads(data)["spec"] == spec


def test_the_shipped_schema_is_that_of_the_model() -> None:
    """Run with ``PRUNEC_UPDATE_GOLDEN=1`` to write it anew."""
    shown = json.dumps(lock.schema(), indent=2) + "\n"
    file = resources.files("prunec") / "docs" / "lock.schema.json"
    if os.environ.get("PRUNEC_UPDATE_GOLDEN"):
        Path(str(file)).write_text(shown, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == shown


def test_a_lock_has_the_shape_that_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    spec = """
        target macs <= 60%
        target params <= 90% in "2"
        prune channels { score random(seed=0) }
        repair none
    """
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    files = prunec.compile(spec, model=net, args=(torch.randn(2, 4),)).files
    made = json.loads(files[lock.NAME])
    validator = jsonschema.Draft202012Validator(lock.schema())
    validator.check_schema(lock.schema())
    assert list(validator.iter_errors(made)) == []
    renumbered = {**made, "renumbered": {"ids": "0-3, 7"}}
    assert list(validator.iter_errors(renumbered)) == []
    for wrong in (
        {**made, "tool": "other"},
        {**made, "files": {"slim.py": "abc"}},
        {**made, "more": 1},
        {k: v for k, v in made.items() if k != "plan"},
        {**made, "plan": {"solver": "dp", "keep": {"a": [-1]}}},
    ):
        assert list(validator.iter_errors(wrong)) != []
    assert set(lock.Lock.model_validate(made).files) == set(made["files"])
