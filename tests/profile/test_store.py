"""Profiles as files: the schema, refusals, names."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import pytest

from prunec import profile, spec
from prunec.diagnostics import PruneError
from prunec.profile import store
from prunec.profile.store import Machine, Measured, Model, Profile, Whole
from prunec.spec import Cpu, Cuda

MADE = Profile(
    machine=Machine(
        kind="cpu",
        name="a processor",
        threads=1,
        batch=1,
        torch="2.9",
        dtype="float32",
        memory_format="contiguous",
    ),
    units={"aten.relu.default(float32[1, a])": Measured(breaks=[[]], points=[[8, 900, 12, 60]])},
    models={
        "0" * 64: Model(
            name="Net",
            settings=96,
            measured=8,
            nodes=1,
            whole=[Whole(units=900, ns=1500, spread=20, count=60)],
        )
    },
)


def test_the_shipped_schema_is_that_of_the_model() -> None:
    """Run with ``PRUNEC_UPDATE_GOLDEN=1`` to write it anew."""
    shown = json.dumps(store.schema(), indent=2) + "\n"
    file = resources.files("prunec") / "docs" / "profile.schema.json"
    if os.environ.get("PRUNEC_UPDATE_GOLDEN"):
        Path(str(file)).write_text(shown, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == shown


def test_a_profile_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store.write(MADE, tmp_path / "p.json")
    assert profile.read(tmp_path / "p.json") == MADE
    assert "[8, 900, 12, 60]" in (tmp_path / "p.json").read_text(), "one row, one line"
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]


def test_a_profile_has_the_shape_that_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(store.schema())
    validator.check_schema(store.schema())
    made = MADE.model_dump(mode="json")
    assert list(validator.iter_errors(made)) == []
    for wrong in ({**made, "tool": "other"}, {**made, "more": 1}, {**made, "machine": {}}):
        assert list(validator.iter_errors(wrong)) != []


@pytest.mark.parametrize(
    "text", ["", "no json", "{}", '{"tool": "other"}', MADE.model_dump_json().replace(":1", ":9")]
)
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PruneError) as error:
        profile.read(tmp_path / "p.json")
    assert error.value.diagnostics[0].code == "P0620"


def test_a_missing_profile_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PruneError) as error:
        profile.read(tmp_path / "p.json")
    assert error.value.diagnostics[0].code == "P0620"
    assert "prunec profile" in str(error.value)


def test_a_file_is_named_after_the_spec_and_the_device() -> None:
    folder = Path("somewhere")
    names = {
        Cpu(): "resnet56.cpu-1t-b1.profile.json",
        Cpu(threads=4, batch=8): "resnet56.cpu-4t-b8.profile.json",
        Cuda(): "resnet56.cuda-b1.profile.json",
    }
    for device, name in names.items():
        assert profile.default_path(folder, "x/resnet56.prune", device) == folder / name
    assert profile.default_path(folder, "<spec>", Cpu()).name == "model.cpu-1t-b1.profile.json"


def test_a_device_is_read_as_in_a_target() -> None:
    assert spec.device("cpu(threads=2)") == Cpu(threads=2)
    assert spec.device("cuda") == Cuda()
    with pytest.raises(PruneError) as error:
        spec.device("tpu")
    assert "tpu" in str(error.value)
