"""Plan files: the same bytes for the same input, refused where anything has changed, and applied
without scoring or solving.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError, planfile
from prunec.diagnostics import InternalError
from prunec.ir.plan import Plan
from prunec.passes import allocate, score

SPEC = """\
target macs <= 50%
target params <= 70%
prune channels { score l2 }
repair none
"""
X = torch.zeros(2, 6)


def net(seed: int = 0, width: int = 16) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def batches(seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    yield torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    prunec.plan(SPEC, model=net(), args=(X,), out=tmp_path / "plan.json")
    return tmp_path / "plan.json"


def compiled(file: Path | Plan | str, spec: str = SPEC, model: nn.Module | None = None) -> Any:
    return prunec.compile(spec, model=model or net(), args=(X,), plan=file, check=False)


def refused(*given: Any, **more: Any) -> prunec.Diagnostic:
    with pytest.raises(PruneError) as caught:
        compiled(*given, **more)
    return caught.value.diagnostics[0]


# --- What is written -----------------------------------------------------------------------------


def test_the_file_is_the_plan_with_what_it_was_made_from(file: Path) -> None:
    plan = prunec.plan(SPEC, model=net(), args=(X,))
    found = json.loads(file.read_bytes())
    assert list(found) == sorted(found)
    assert found["keep"] == {name: list(kept) for name, kept in plan.keep.items()}
    assert found["widths"] == {
        "0": {"kept": len(plan.keep.get("0", range(16))), "size": 16},
        "2": {"kept": len(plan.keep.get("2", range(8))), "size": 8},
    }
    assert found["objective"] == plan.objective
    assert found["solver"]["name"] == "milp"
    assert [(c["metric"], c["bound"]) for c in found["costs"]] == [
        (c.metric, c.bound) for c in plan.costs
    ]
    assert all(c["slim"] <= c["bound"] for c in found["costs"])
    assert found["inputs"]["data"] is None
    lists = [line for line in file.read_text().splitlines() if line.strip().startswith('"2": [')]
    assert len(lists) == 1


def test_same_input_same_bytes_wherever_they_are_written(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "other.json"
    again.parent.mkdir()
    prunec.plan(SPEC, model=net(), args=(X,), out=again)
    assert again.read_bytes() == file.read_bytes()
    assert str(tmp_path) not in file.read_text()
    assert "seconds" not in file.read_text()


def test_a_model_without_values_has_no_hash_of_them(tmp_path: Path) -> None:
    spec = SPEC.replace("l2", "random(seed=3)")
    prunec.plan(spec, model=net().to("meta"), args=(X,), out=tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_bytes())["inputs"]["weights"] is None
    assert compiled(tmp_path / "p.json", spec=spec).report.costs[0].holds


def test_the_shipped_schema_is_that_of_the_model() -> None:
    """Run with ``PRUNEC_UPDATE_GOLDEN=1`` to write it anew."""
    shown = json.dumps(planfile.schema(), indent=2) + "\n"
    kept = resources.files("prunec") / "docs" / "plan.schema.json"
    if os.environ.get("PRUNEC_UPDATE_GOLDEN"):
        Path(str(kept)).write_text(shown, encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == shown


def test_a_plan_has_the_shape_that_the_schema_says(file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(planfile.schema())
    validator.check_schema(planfile.schema())
    made = json.loads(file.read_bytes())
    assert list(validator.iter_errors(made)) == []
    for wrong in ({**made, "more": 1}, {**made, "keep": {"0": [-1]}}, {**made, "seed": "x"}):
        assert list(validator.iter_errors(wrong)) != []


# --- Applying ------------------------------------------------------------------------------------


def test_the_files_are_those_of_a_compile_that_solves(file: Path) -> None:
    solved = prunec.compile(SPEC, model=net(), args=(X,), check=False)
    applied = compiled(file)
    assert applied.files == solved.files
    assert applied.plan == solved.plan
    assert applied.report.costs == solved.report.costs
    assert compiled(str(file)).files == solved.files
    assert compiled(solved.plan).files == solved.files


def test_nothing_is_scored_or_solved(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object, **more: object) -> None:
        raise InternalError("scored, or solved")

    monkeypatch.setattr(score, "run", never)
    monkeypatch.setattr(allocate, "run", never)
    with pytest.raises(InternalError):
        prunec.compile(SPEC, model=net(), args=(X,))
    assert compiled(file).report.passed


def test_data_counts_where_it_decides_the_plan(tmp_path: Path) -> None:
    spec = SPEC.replace("l2", "obs")

    def plan(calibrate: object, path: Path) -> None:
        prunec.plan(spec, model=net(), args=(X,), calibrate=calibrate, out=path)  # type: ignore[arg-type]

    def applied(calibrate: object, text: str = spec) -> Any:
        given: dict[str, Any] = {"calibrate": calibrate, "plan": tmp_path / "p.json"}
        return prunec.compile(text, model=net(), args=(X,), check=False, **given)

    plan(batches(), tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_bytes())["inputs"]["data"] is not None
    assert applied(batches()).report.passed
    with pytest.raises(PruneError, match="the calibration data differs"):
        applied(batches(seed=1))
    repaired = SPEC.replace("repair none", "repair least_squares")
    given: dict[str, Any] = {"model": net(), "args": (X,)}
    prunec.plan(repaired, calibrate=batches(), out=tmp_path / "p.json", **given)
    assert json.loads((tmp_path / "p.json").read_bytes())["inputs"]["data"] is None
    assert applied(batches(seed=1), repaired).report.passed


def test_a_plan_in_memory_needs_no_data(tmp_path: Path) -> None:
    spec = SPEC.replace("l2", "obs")
    plan = prunec.plan(spec, model=net(), args=(X,), calibrate=batches())
    assert compiled(plan, spec=spec).report.passed


# --- What is refused -----------------------------------------------------------------------------


def test_every_change_is_named(file: Path) -> None:
    weights = net(seed=1)
    graph = copy.deepcopy(net())
    graph[1] = nn.Tanh()  # type: ignore[index]
    both = copy.deepcopy(weights)
    both[1] = nn.Tanh()  # type: ignore[index]
    cases: list[tuple[str, nn.Module, str]] = [
        (SPEC + "# a comment\n", net(), "the text of the spec differs"),
        (SPEC, weights, "the weights of the model differs"),
        (SPEC, graph, "what the model computes differs"),
        (SPEC, both, "what the model computes, the weights of the model differ"),
    ]
    for spec, model, said in cases:
        found = refused(file, spec=spec, model=model)
        assert found.code == "P0640"
        assert found.message.endswith(f"made from something else: {said}")


def test_a_profile_that_changed_is_named(file: Path) -> None:
    held = planfile.load(file)
    old = held.inputs.model_copy(update={"profile": "0" * 64})
    now = held.inputs.model_copy(update={"profile": "1" * 64})
    with pytest.raises(PruneError, match="the device profile differs"):
        planfile.check_inputs(held.model_copy(update={"inputs": old}), now, "p")


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", "P0641", "not JSON"),
        (b"\xff\xfe", "P0641", "not JSON"),
        (b"[" * 100_000, "P0641", "not JSON"),
        (b"[]", "P0641", "not a plan"),
        (b'{"tool": "other", "plan_version": 1}', "P0641", "not a plan"),
        (b'{"tool": "prunec", "lock_version": 1}', "P0641", "not a plan"),
        (b'{"tool": "prunec", "plan_version": 1}', "P0641", "Field required"),
        (b'{"tool": "prunec", "plan_version": 9}', "P0642", "version 9"),
    ],
)
def test_what_is_no_plan(tmp_path: Path, data: bytes, code: str, said: str) -> None:
    (tmp_path / "p.json").write_bytes(data)
    found = refused(tmp_path / "p.json")
    assert found.code == code
    assert said in found.message
    assert refused(tmp_path / "absent.json").code == "P0641"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda p: p.update(more=1), "P0641", "more"),
        (lambda p: p.update(objective="much"), "P0641", "objective"),
        (lambda p: p.update(objective=float("nan")), "P0641", "objective"),
        (lambda p: p["keep"].update({"0": [0.5]}), "P0641", "keep.0.0"),
        (lambda p: p["keep"].update({"0": [-1, 2]}), "P0641", "keep.0.0"),
        (lambda p: p["keep"].update({"7": [0]}), "P0643", "no group `7`"),
        (lambda p: p["widths"].update({"7": {"kept": 1, "size": 2}}), "P0643", "no group `7`"),
        (lambda p: p["keep"].update({"0": [0, 16]}), "P0644", "channels 0 to 15"),
        (lambda p: p["keep"].update({"0": [3, 2]}), "P0644", "do not ascend"),
        (lambda p: p["keep"].update({"0": [2, 2]}), "P0644", "do not ascend"),
        (lambda p: p["keep"].update({"0": []}), "P0644", "keep 0 channels"),
        (lambda p: p["keep"].update({"0": [1]}), "P0644", "is not that of the channels"),
        (lambda p: p["widths"]["0"].update(size=20), "P0644", "20 channels"),
        (lambda p: p.update(keep={}, widths={}), "P0645", "`macs <= 50%` is exceeded"),
    ],
)
def test_what_was_edited(file: Path, change: Change, code: str, said: str) -> None:
    found = json.loads(file.read_bytes())
    change(found)
    file.write_text(json.dumps(found))
    fault = refused(file)
    assert fault.code == code
    assert said in fault.message
    assert str(file) in fault.message


def test_a_plan_in_memory_must_fit_the_spec() -> None:
    ten = Plan({"0": tuple(range(2)), "2": tuple(range(2))})
    assert compiled(ten).plan.keep == ten.keep
    assert refused(ten, spec=SPEC + 'freeze "0"').code == "P0643"
    assert refused(ten, spec=SPEC.replace("l2", "l2 keep >= 25%")).code == "P0644"
    assert refused(Plan({"0": tuple(range(12))})).code == "P0645"
    assert refused(Plan({"0": (1, 0)})).message.startswith("plan `in memory`: ")
    whole = Plan({**ten.keep, "2": tuple(range(8))})
    assert dict(compiled(whole).plan.keep) == {"0": (0, 1)}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PruneError, match="P0649"):
        prunec.plan(SPEC, model=net(), args=(X,), out=tmp_path / "absent" / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_targets_out_of_reach_are_refused_before_anything_is_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score, "run", lambda *given: pytest.fail("scored"))
    for share, code in (("1%", "P0601"), ("100%", "P0602")):
        with pytest.raises(PruneError, match=code):
            prunec.plan(f"target macs <= {share}", model=net(), args=(X,))


def test_what_a_search_measured_is_kept(tmp_path: Path) -> None:
    spec = SPEC.replace("l2", "obs").replace("repair", "solve dp(search=3)\nrepair")
    given: dict[str, Any] = {"model": net(), "args": (X,)}
    plan = prunec.plan(spec, calibrate=batches(), out=tmp_path / "p.json", **given)
    assert plan.damage is not None
    assert json.loads((tmp_path / "p.json").read_bytes())["damage"] == plan.damage
    rest: dict[str, Any] = {"plan": tmp_path / "p.json", "check": False}
    applied = prunec.compile(spec, calibrate=batches(), **given, **rest)
    assert applied.plan.damage == plan.damage
    solved = prunec.compile(spec, calibrate=batches(), **given, check=False)
    assert applied.files == solved.files
