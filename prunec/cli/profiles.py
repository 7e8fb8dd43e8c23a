"""``prunec profile``: measure a model's operators, and say how surely."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from prunec import prepare, profile, spec, understand
from prunec.cli import console
from prunec.ir import units
from prunec.profile import summary
from prunec.report import tables


def run(file: Path, *, on: str | None, out: Path | None, again: bool) -> int:
    """Measure on every device; show what was found."""
    chosen = None if on is None else (spec.device(on),)
    with console.stages() as stage:
        job = prepare.from_file(file, stage=stage)
        devices = chosen or spec.devices(job.spec)
        if out is not None and len(devices) > 1:
            raise typer.BadParameter("the targets name several devices: choose one by --on")
        stage("building the model")
        model = understand.run(prepare.run(job), stage, renumber=job.spec.renumbers)
    found = []
    for device in devices:
        path = out or profile.default_path(job.folder, job.spec.source.name, device)
        with console.bar(f"measuring on {device}") as progress:
            made = profile.run(model, device, path, again=again, progress=progress)
        found.append(summary.of(made, profile.key(model.traced.graph), path))
    console.diagnose([note for one in found for note in one.diagnostics])
    if console.as_json():
        console.dump([one.as_dict() for one in found])
    else:
        console.show(_table(found))
    return 0


def _table(found: list[summary.Summary]) -> Table:
    table = tables.plain("profile", operators="right", points="right", noise="right", dense="right")
    for one in found:
        dense = units.show(one.dense, "latency")
        noise = f"{one.noise:.1%}"
        table.add_row(Text(str(one.path)), str(one.operators), str(one.points), noise, dense)
        table.add_row(Text(one.device))
    return table
