"""The lock, ``slim.lock.json``: what an artefact was made from and what it consists of.

It has no times, no absolute paths and sorted keys, so that the same input gives the same bytes; and
it is enough to say later whether a folder still holds what a spec, a model and its weights give.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prunec import __version__
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.plan import Plan
from prunec.report.data import cost_dict

NAME = "slim.lock.json"
VERSION = 1
NUMBERS = re.compile(r"\[\n([-\d,\s]+)\]")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hashes of all that decides the output, versions aside: spec text, graph, weights."""

    spec: str
    graph: str
    weights: str

    def as_dict(self) -> dict[str, str]:
        return {"spec": self.spec, "graph": self.graph, "weights": self.weights}


def inputs(text: str, graph: Graph, weights: Mapping[str, Tensor]) -> Inputs:
    """The hashes of a spec's text, a traced graph and its weights by name."""
    return Inputs(digest(text.encode()), digest(str(graph).encode()), _weights(weights))


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
    text = json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
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


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _weights(weights: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _one_line_lists(text: str) -> str:
    """Lists of numbers on one line each: a lock is read by people too."""
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _not_a_lock(reason: str) -> PruneError:
    message = f"`{NAME}` cannot be used: {reason}"
    return PruneError(Diagnostic("P0711", message, help="compile again to write a new one"))
