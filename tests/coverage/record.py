"""The record of one model: plain values, one JSON file each."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

Status = Literal["equal", "above", "wrong", "refused", "crash", "timeout", "memory", "unavailable"]
"""How it went.

``equal``: compiled to the target and proved; ``above``: proved, at a milder target, for the asked
one is out of reach; ``wrong``: the proof found the output different; ``refused``: a `PruneError`
otherwise; ``crash``: anything else that was raised, or a dead process; ``unavailable``: the library
is not installed.
"""


@dataclass
class Record:
    """What is known of one model; fields that the run did not get to stay None.

    ``known`` is a share of the graph's nodes, ``reachable`` one of the parameter elements. ``macs``
    and ``params`` are (dense, slim). ``refused`` are the operators without equations, ``held`` what
    keeps parameters out of reach, both with how many they are of. ``least`` says what P0601 said,
    ``revision`` which prunec it was. ``modes`` counts the comparisons with the masked twin by mode.
    Of the emitted file: ``lines`` of code, ``classes``, ``calls`` in forwards, ``private`` those
    that torch has no public name for, whether it is ``fixed`` when traced and emitted again,
    ``formatted`` and ``linted`` (ruff), and ``typed`` (mypy).
    """

    name: str
    status: Status = "crash"
    stage: str = "building"
    reason: str = ""
    frontend: str | None = None
    nodes: int | None = None
    known: float | None = None
    parameters: int | None = None
    reachable: float | None = None
    groups: int | None = None
    target: str | None = None
    macs: tuple[int, int] | None = None
    params: tuple[int, int] | None = None
    error: float | None = None
    modes: dict[str, int] = field(default_factory=dict)
    clean_room: bool | None = None
    lines: int | None = None
    classes: int | None = None
    calls: int | None = None
    private: dict[str, int] = field(default_factory=dict)
    fixed: bool | None = None
    formatted: bool | None = None
    linted: bool | None = None
    typed: bool | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    least: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    revision: str = ""

    @property
    def suite(self) -> str:
        return self.name.partition("/")[0]

    @property
    def total(self) -> float:
        """Seconds in all."""
        return sum(self.seconds.values())

    def json(self) -> str:
        """The record as one line."""
        return json.dumps(asdict(self))


def parse(text: str) -> Record:
    """The record that a line of JSON holds; ValueError where it holds none."""
    given = json.loads(text)
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError("this is not a record")
    known = {f.name for f in fields(Record)}
    return Record(**{key: value for key, value in given.items() if key in known})


@cache
def revision() -> str:
    """The commit of the prunec that is here; empty where git cannot say."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--tags"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def path(folder: Path, name: str) -> Path:
    """Where a model's record lies."""
    return folder / "records" / f"{name.replace('/', '.', 1)}.json"


def load(folder: Path) -> list[Record]:
    """The records of a folder, by name; files that hold none are passed over."""
    found = []
    for file in sorted((folder / "records").glob("*.json")):
        try:
            found.append(parse(file.read_text(encoding="utf-8")))
        except ValueError:
            continue
    return found
