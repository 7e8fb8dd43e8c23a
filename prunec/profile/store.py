"""The device profile, ``*.profile.json``: what was measured, on what, and how surely.

``docs/profile.schema.json`` is its JSON schema, made from `Profile`. Files are written whole or not
at all, so that a run that is interrupted loses at most what it was measuring.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunec import output
from prunec.diagnostics import Diagnostic, PruneError
from prunec.spec import Cpu, Cuda, Device

VERSION = 1
ROWS = re.compile(r"\[\s*((?:-?[\d.e+-]+,?\s*)+)\]")
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Machine(_Part):
    """Where and how it was measured."""

    kind: Literal["cpu", "cuda"]
    name: str
    """The model of the processor, or of the GPU."""
    threads: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    torch: str
    dtype: str
    """Of the weights."""
    memory_format: Literal["contiguous"]


class Measured(_Part):
    """One kind of unit."""

    breaks: list[list[Count]]
    """For every size of the signature, in the order of its letters: from where on another kernel
    runs."""
    points: list[list[Count]]
    """Rows of sizes, then nanoseconds (median over turns), their interquartile range, and the
    number of runs."""


class Whole(_Part):
    """A whole model at some widths."""

    units: Count
    """Nanoseconds that its units took, together, while the graph ran node by node."""
    ns: Count
    """Nanoseconds of one forward of the emitted module, median over turns."""
    spread: Count
    """The interquartile range of the same."""
    count: Count
    """Number of runs."""


class Model(_Part):
    """What was measured for one model."""

    name: str
    settings: Count
    """Width settings that are to be measured."""
    measured: Count
    """How many of them are."""
    nodes: Count
    """Units of one forward."""
    whole: list[Whole]


class Profile(_Part):
    """A device profile of prunec: the time of operators at a grid of sizes."""

    model_config = ConfigDict(title="prunec device profile")

    tool: Literal["prunec"] = "prunec"
    profile_version: Literal[1] = 1
    machine: Machine
    units: dict[str, Measured] = Field(default_factory=dict)
    """By signature: the operator with all that decides its time, sizes that vary as letters."""
    models: dict[str, Model] = Field(default_factory=dict)
    """By the SHA-256 of the traced graph."""


def schema() -> dict[str, Any]:
    """The JSON schema of a profile."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **Profile.model_json_schema()}


def slug(device: Device) -> str:
    """A device as a part of a file's name: ``cpu-1t-b1``."""
    match device:
        case Cpu():
            return f"cpu-{device.threads}t-b{device.batch}"
        case Cuda():
            return f"cuda-b{device.batch}"


def default_path(folder: Path, spec: str, device: Device) -> Path:
    """Where the profile of a spec (the name of its source) for a device is looked for."""
    stem = Path(spec).stem if spec.endswith(".prune") else "model"
    return folder / f"{stem}.{slug(device)}.profile.json"


def read(path: Path) -> Profile:
    """A profile from its file.

    Raises:
        PruneError: P0620 if the file is not there, or is no profile of this version.
    """
    try:
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _unreadable(path, f"{place}: {first['msg']}" if place else first["msg"]) from error


def write(profile: Profile, path: Path) -> None:
    """Write a profile, whole or not at all; rows of numbers take one line each.

    Raises:
        PruneError: P0649 if it cannot be written.
    """
    text = json.dumps(profile.model_dump(mode="json"), indent=1, ensure_ascii=False)
    text = ROWS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    output.write(path, f"{text}\n".encode())


def _unreadable(path: Path, reason: str) -> PruneError:
    return PruneError(
        Diagnostic(
            "P0620",
            f"the device profile `{path}` cannot be used: {reason}",
            help="`prunec profile FILE` measures the model on this machine and writes one",
        )
    )
