"""``prunec plan --sweep``: a table on stdout, and the front as JSON, SVG or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prunec import lock, output, plot, sweeping
from prunec.cli import console
from prunec.diagnostics import Diagnostic, PruneError
from prunec.prepare import Job
from prunec.report import tables
from prunec.report.front import Front

FINDINGS = 1


def check(paths: Sequence[Path], *, swept: bool) -> None:
    """Refuse files that will not be written, before anything is computed (P0647, P0648)."""
    for path in paths:
        kind = path.suffix.removeprefix(".").lower()
        if kind in plot.SUFFIXES and not swept:
            raise _no_form(path, "one plan is no front", "a plot is of a `--sweep`")
        if swept and kind not in ("json", *plot.SUFFIXES):
            raise _no_form(path, "its suffix is unknown", "a sweep writes .json, .svg and .png")
        if kind in plot.SUFFIXES:
            plot.check_installed()


def run(job: Job, text: str, steps: int) -> Front:
    """The front of a range such as ``macs=70%..30%``."""
    metric, bounds = sweeping.parse(text, steps, job.spec)
    ready, found = sweeping.run(job, metric, bounds)
    console.diagnose(ready.diagnostics)
    return sweeping.front(ready, found)


def show(found: Front, paths: Sequence[Path]) -> int:
    """Write the files, then the table; findings if no step can be met."""
    for path in paths:
        kind = path.suffix.removeprefix(".").lower()
        output.write(path, plot.draw(found, kind) if kind != "json" else lock.dump(found.as_dict()))
    if console.as_json():
        console.dump(found.as_dict())
    else:
        console.show(tables.front(found))
    none = all(step.plan is None for step in found.steps)
    if none:
        console.diagnose(found.steps[0].faults)
    return FINDINGS if none else 0


def _no_form(path: Path, why: str, help_: str) -> PruneError:
    message = f"`{path}` cannot be written: {why}"
    return PruneError(Diagnostic("P0648", message, help=help_))
