"""The plan file, ``plan.json``: what is to be removed, what that was decided from, and how good it
is.

Like a lock it has no times, no absolute paths and sorted keys: the same input gives the same bytes.
A plan is applied without scoring and without solving, but only to what it was made from.
``docs/plan.schema.json`` is its JSON schema, made from `PlanFile`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from torch import Tensor

from prunec import hashing, lock
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.plan import Plan
from prunec.lock import Cost, Digest, Section, Versions
from prunec.passes.allocate import Problem
from prunec.passes.batches import Batch, digest
from prunec.report.data import cost_dict
from prunec.spec import Solver

VERSION = 1


class Inputs(Section):
    """Hashes of all that decides a plan, versions aside."""

    spec: Digest
    graph: Digest
    weights: Digest | None
    """Null where the model had no values, on the meta device."""
    data: Digest | None
    """The calibration data; null where no score and no solver looked at it."""
    profile: Digest | None
    """The device profiles; null where no target is about latency."""


class Solved(Section):
    """How the plan was found."""

    name: str
    options: dict[str, Any]


class Width(Section):
    """How many channels of a group stay."""

    kept: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=1)]


class PlanFile(Section):
    """``plan.json``: the channels that every group keeps, and the certificate of the solver."""

    model_config = ConfigDict(title="prunec plan", allow_inf_nan=False, strict=True)

    tool: Literal["prunec"]
    plan_version: Literal[1]
    versions: Versions
    inputs: Inputs
    solver: Solved
    seed: int | None
    """What the solver's random choices began with; null where it makes none."""
    objective: float
    """The loss of the plan, in the unit of the scores."""
    bound: float | None
    """What no plan within the budgets is below."""
    gap: float | None
    """How far the objective can be from the best, as a share of it."""
    damage: float | None
    """The measured calibration loss; null where the solver measures none."""
    costs: list[Cost]
    keep: dict[str, list[Annotated[int, Field(ge=0)]]]
    """The indices that stay, ascending, of every group that loses some."""
    widths: dict[str, Width]
    """Every group that a rule selects."""


def schema() -> dict[str, Any]:
    """The JSON schema of a plan file."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **PlanFile.model_json_schema()}


def inputs(
    text: str,
    graph: Graph,
    weights: Mapping[str, Tensor],
    batches: Sequence[Batch] = (),
    profile: str | None = None,
) -> Inputs:
    """The hashes of a spec's text, a traced graph, its weights by name, and of the calibration
    batches that decide the plan; ``profile`` is the hash of the device profiles.
    """
    meta = any(tensor.is_meta for tensor in weights.values())
    return Inputs(
        spec=hashing.digest(text.encode()),
        graph=hashing.digest(str(graph).encode()),
        weights=None if meta else hashing.tensors(weights),
        data=digest(batches) if batches else None,
        profile=profile,
    )


def write(found: Inputs, solver: Solver, plan: Plan, problem: Problem) -> bytes:
    """The file of a plan that solves a problem."""
    options = {name: value for name, value in solver.as_dict().items() if name != "name"}
    selected = [g for g in problem.groups if g.name in problem.rankings]
    return lock.dump(
        {
            "tool": "prunec",
            "plan_version": VERSION,
            "versions": lock.versions(),
            "inputs": found.model_dump(),
            "solver": {"name": solver.name, "options": options},
            "seed": plan.seed,
            "objective": plan.objective,
            "bound": plan.bound,
            "gap": plan.gap,
            "damage": plan.damage,
            "costs": [cost_dict(c) for c in plan.costs],
            "keep": {name: list(kept) for name, kept in plan.keep.items()},
            "widths": {
                g.name: {"kept": len(plan.keep.get(g.name, range(g.size))), "size": g.size}
                for g in selected
            },
        }
    )


def load(path: Path) -> PlanFile:
    """Read a plan file.

    Raises:
        PruneError: P0641 if it is no plan, P0642 if it is one of a later version.
    """
    return read(content(path), str(path))


def read(data: bytes, name: str) -> PlanFile:
    """A plan file's content; ``name`` is what the user calls it.

    Raises:
        PruneError: P0641, P0642.
    """
    found = parse(data, name)
    if "plan_version" not in found:
        raise _no_plan(name, "it is not a plan of prunec's")
    version = found["plan_version"]
    if isinstance(version, int) and version > VERSION:
        message = f"the plan `{name}` is of version {version}, and this prunec reads {VERSION}"
        raise PruneError(Diagnostic("P0642", message, help="use the newer prunec, or plan again"))
    try:
        return PlanFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _no_plan(name, f"`{place}`: {first['msg']}") from error


def content(path: Path) -> bytes:
    """The bytes of a file that should hold a plan (P0641)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _no_plan(str(path), error.strerror or str(error)) from error


def parse(data: bytes, name: str) -> Mapping[str, Any]:
    """The JSON of a file of prunec's (P0641)."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_plan(name, f"it is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("tool") != "prunec":
        raise _no_plan(name, "it is not a plan of prunec's")
    return found


def check_inputs(held: PlanFile, now: Inputs, name: str) -> None:
    """Refuse a plan that was made from something else than what is there now (P0640)."""
    before, after = held.inputs.model_dump(), now.model_dump()
    changed = [
        what
        for key, what in lock.CHANGED.items()
        if None not in (before[key], after[key]) and before[key] != after[key]
    ]
    if changed:
        verb = "differs" if len(changed) == 1 else "differ"
        message = f"the plan `{name}` was made from something else: {', '.join(changed)} {verb}"
        hint = f"plan again: `prunec plan FILE -o {name}`"
        raise PruneError(Diagnostic("P0640", message, help=hint))


def _no_plan(name: str, reason: str) -> PruneError:
    hint = "`prunec plan FILE -o plan.json` writes one"
    return PruneError(
        Diagnostic("P0641", f"`{name}` cannot be used as a plan: {reason}", help=hint)
    )
