"""The lock, ``slim.lock.json``: what an artefact was made from and what it consists of.

It has no times, no absolute paths and sorted keys, so that the same input gives the same bytes; and
it is enough to say later whether a folder still holds what a spec, a model and its weights give.
``docs/lock.schema.json`` is its JSON schema, made from `Lock`.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from prunec import __version__
from prunec.diagnostics import Diagnostic, PruneError
from prunec.hashing import digest, tensors
from prunec.ir.graph import Graph
from prunec.ir.plan import Plan
from prunec.report.data import cost_dict

NAME = "slim.lock.json"
VERSION = 1
CHANGED = {
    "spec": "the text of the spec",
    "graph": "what the model computes",
    "weights": "the weights of the model",
    "data": "the calibration data",
    "profile": "the device profile",
}
"""What users call the inputs."""
NUMBERS = re.compile(r"\[\n([-\d,\s]+)\]")


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256, in hexadecimal")]


class Section(BaseModel):
    """A part of a file: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Versions(Section):
    """What the artefact was made with."""

    prunec: str
    python: str
    torch: str


class Made(Section):
    """Hashes of all that decides the output, versions aside."""

    spec: Digest
    graph: Digest
    weights: Digest
    profile: Digest | None = None
    """Of all device profiles; absent where no target is about latency."""


class Kept(Section):
    """What the compiler decided."""

    solver: str
    keep: dict[str, list[Annotated[int, Field(ge=0)]]]
    """The indices that stay, by group."""


class Cost(Section):
    """A cost before and after."""

    metric: str
    scope: str | None
    """The part of the model that it is of; null for the whole model."""
    dense: float
    slim: float
    bound: float | None
    """What the spec allows; null where it says nothing."""
    holds: bool


class Lock(Section):
    """``slim.lock.json``: what a compiled model was made from and what it consists of."""

    model_config = ConfigDict(title="prunec lock")

    tool: Literal["prunec"]
    lock_version: Literal[1]
    versions: Versions
    inputs: Made
    spec: dict[str, Any]
    """The spec, with everything filled in that it leaves out."""
    plan: Kept
    costs: list[Cost]
    files: dict[str, Digest]
    """All other files of the artefact, by name."""
    renumbered: dict[str, str] = Field(default_factory=dict, min_length=1)
    """By input: the ids that it may still hold (``"0-3, 7"``), whose ranks are the new ones."""


def schema() -> dict[str, Any]:
    """The JSON schema of a lock."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **Lock.model_json_schema()}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hashes of all that decides the output, versions aside: spec text, graph, weights, and device
    profiles where a target is about latency.
    """

    spec: str
    graph: str
    weights: str
    profile: str | None = None

    def as_dict(self) -> dict[str, str]:
        found = {"spec": self.spec, "graph": self.graph, "weights": self.weights}
        return found if self.profile is None else {**found, "profile": self.profile}


def inputs(
    text: str, graph: Graph, weights: Mapping[str, Tensor], profile: str | None = None
) -> Inputs:
    """The hashes of a spec's text, a traced graph, its weights by name; ``profile`` is a hash."""
    return Inputs(digest(text.encode()), digest(str(graph).encode()), tensors(weights), profile)


def write(
    found: Inputs,
    spec: Mapping[str, Any],
    plan: Plan,
    files: Mapping[str, bytes],
    renumbered: Mapping[str, str] | None = None,
) -> bytes:
    """The lock of an artefact; ``files`` are all others in the folder, by name; ``renumbered`` the
    ids that an input may still hold, ``"0-3, 7"``.
    """
    lock = {
        "tool": "prunec",
        "lock_version": VERSION,
        "versions": versions(),
        "inputs": found.as_dict(),
        "spec": spec,
        "plan": {
            "solver": plan.solver,
            "keep": {name: list(kept) for name, kept in plan.keep.items()},
        },
        "costs": [cost_dict(c) for c in plan.costs],
        "files": {name: digest(data) for name, data in files.items()},
        **({"renumbered": dict(renumbered)} if renumbered else {}),
    }
    return dump(lock)


def dump(value: Mapping[str, Any]) -> bytes:
    """JSON that is the same for the same value, and lists of numbers on one line each."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (_one_line_lists(text) + "\n").encode()


def read(data: bytes) -> Mapping[str, Any]:
    """A lock's content.

    Raises:
        PruneError: P0711 if it is no lock, or one of a later version.
    """
    try:
        lock = json.loads(data)
    except ValueError as error:
        raise _not_a_lock(f"it is not JSON: {error}") from error
    if not isinstance(lock, dict) or lock.get("tool") != "prunec":
        raise _not_a_lock("it is not prunec's")
    if lock.get("lock_version") != VERSION:
        raise _not_a_lock(f"its version is {lock.get('lock_version')}, this prunec reads {VERSION}")
    return lock


def versions() -> dict[str, str]:
    """What the artefact was made with."""
    return {
        "prunec": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__).partition("+")[0],
    }


def _one_line_lists(text: str) -> str:
    """Lists of numbers on one line each: a lock is read by people too."""
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _not_a_lock(reason: str) -> PruneError:
    message = f"`{NAME}` cannot be used: {reason}"
    return PruneError(Diagnostic("P0711", message, help="compile again to write a new one"))
