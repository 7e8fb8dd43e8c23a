"""What the emitted file of a model is like: its size, its spellings, its style, its stability."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prunec import emit, trace
from prunec.driver import Compiled
from prunec.emit import census
from prunec.prepare import Subject
from tests.coverage.record import Record, load, path

TOTALS = (
    "suite",
    "files",
    "lines",
    "classes",
    "public spellings",
    "fixed point",
    "ruff format",
    "ruff check",
    "mypy",
    "equal in eval and train",
)


def fill(record: Record, source: str) -> None:
    """Count the source of a file, and ask ruff about it."""
    found = census.run(source)
    record.lines, record.classes, record.calls = found.lines, found.classes, found.calls
    record.private = dict(found.private)
    record.formatted = _ruff(source, "format", "--check")
    record.linted = _ruff(source, "check", "--no-cache")


def is_fixed(compiled: Compiled, subject: Subject) -> bool:
    """Whether the slim module, traced and emitted again, gives the same source."""
    module = compiled.module
    found = trace.run(module, subject.args, subject.kwargs, dynamic=subject.dynamic)
    comment = re.match(r"(#.*\n)+", compiled.source)
    lines = comment[0].splitlines() if comment else []
    again = emit.run(
        found.graph,
        class_name=type(module).__name__,
        header="\n".join(line[1:].removeprefix(" ") for line in lines),
        weights=found.weights,
    )
    return again == compiled.source


def keep(folder: Path, name: str, source: str) -> None:
    """Leave the file of a model in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _file(folder, name).write_text(source, encoding="utf-8")


def check_types(out: Path, folder: Path) -> None:
    """Ask mypy once about the files of all records, and write down what it says of each."""
    found = {r.name: _file(folder, r.name) for r in load(out)}
    files = {name: file for name, file in found.items() if file.exists()}
    if not files:
        return
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={cache}"]
        done = subprocess.run(
            [*command, "--no-error-summary", *(f.name for f in files.values())],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        print(done.stdout + done.stderr, file=sys.stderr)
        return
    wrong = {line.partition(":")[0] for line in done.stdout.splitlines() if ": error:" in line}
    for record in load(out):
        typed = files[record.name].name not in wrong if record.name in files else record.typed
        if typed != record.typed:
            record.typed = typed
            path(out, record.name).write_text(record.json() + "\n", encoding="utf-8")


def summary(records: Iterable[Record]) -> dict[str, Any]:
    """Sums and shares over all records that have a file."""
    written = [r for r in records if r.lines is not None]
    calls = sum(r.calls or 0 for r in written)
    unspelled = sum(sum(r.private.values()) for r in written)
    return {
        "files": len(written),
        "lines": sum(r.lines or 0 for r in written),
        "classes": sum(r.classes or 0 for r in written),
        "calls": calls,
        "public": 1 - unspelled / calls if calls else None,
        "fixed": _share([r.fixed for r in written]),
        "formatted": _share([r.formatted for r in written]),
        "linted": _share([r.linted for r in written]),
        "typed": _share([r.typed for r in written]),
        "modes": _share([in_both(r) for r in written]),
    }


def in_both(record: Record) -> bool | None:
    """Whether the twin and the slim model were compared, and equal, in eval and in train mode."""
    if not record.modes:
        return None
    return record.status in {"equal", "above"} and {"eval", "train"} <= set(record.modes)


def cells(record: Record) -> tuple[str, str]:
    """Two cells of a model's row: how much source, and what is not as it should be."""
    if record.lines is None:
        return "-", "-"
    size = f"{record.lines} lines, {record.classes} classes, {record.calls} calls"
    faults = [f"{count} {name}" for name, count in record.private.items()]
    named = {
        "no fixed point": record.fixed,
        "ruff format": record.formatted,
        "ruff check": record.linted,
        "mypy": record.typed,
        "one mode only": in_both(record),
    }
    faults += [what for what, holds in named.items() if holds is False]
    return size, ", ".join(faults) or "ok"


def _share(found: Sequence[bool | None]) -> float | None:
    """The share that holds, of those that are known."""
    known = [f for f in found if f is not None]
    return sum(known) / len(known) if known else None


def _ruff(source: str, *command: str) -> bool:
    options = ["--isolated", "--stdin-filename", "slim.py", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *options],
        input=source.encode(),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _file(folder: Path, name: str) -> Path:
    return folder / f"{re.sub(r'[^0-9A-Za-z]', '_', name)}.py"
