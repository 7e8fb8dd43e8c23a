"""The audit, ``prunec check``: what can be said of a spec and its artefact without data and without
a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prunec import budgets, devices, lock, prepare, selection, understand, vocabulary
from prunec.check import artifact
from prunec.devices import Devices
from prunec.diagnostics import Diagnostic, PruneError
from prunec.passes.allocate import problem
from prunec.prepare import Job
from prunec.selection import Selection
from prunec.understand import Understood


def run(job: Job, folder: Path | None) -> tuple[Diagnostic, ...]:
    """All findings: does the model trace, do the selectors match, can the targets be met, is the
    artefact this spec's.

    Empty where everything holds; warnings and notes may be among them.
    """
    try:
        vocabulary.check(job)
        job.stage("building the model")
        model = understand.run(prepare.run(job), job.stage, renumber=job.spec.renumbers)
        chosen = selection.run(job.spec, model.analysis)
        profiled = devices.run(job, model, chosen)
        _reachable(job, model, chosen, profiled)
    except PruneError as error:
        return error.diagnostics
    found = [*model.notes, *chosen.warnings, *profiled.warnings]
    if folder is not None:
        job.stage("checking the artefact")
        found += _artifact(job, model, profiled, folder)
    return tuple(found)


def _reachable(job: Job, model: Understood, chosen: Selection, profiled: Devices) -> None:
    """Refuse targets that even the smallest widths do not meet, and those that are met already; a
    latency is what its profile predicts.
    """
    unranked = budgets.unranked(chosen)
    problem.check(budgets.problem(job.spec, model, chosen, unranked, profiled))


def _artifact(job: Job, model: Understood, profiled: Devices, folder: Path) -> Iterator[Diagnostic]:
    """Is the folder what a compile of this job gives, and is it whole?"""
    try:
        held = lock.read(_bytes(folder / lock.NAME))
    except PruneError as error:
        yield from error.diagnostics
        return
    traced = model.traced
    now = lock.inputs(job.spec.source.text, traced.graph, traced.weights, profiled.digest)
    changed = [
        lock.CHANGED[name]
        for name, hash in now.as_dict().items()
        if held["inputs"].get(name) != hash
    ]
    if changed:
        yield Diagnostic(
            "P0830",
            f"the artefact in `{folder}` was made from something else: {', '.join(changed)} differ",
            help="compile again",
        )
    yield from artifact.run(folder, held)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"`{path}` cannot be read: {error.strerror or error}"
        hint = "name the folder that `prunec compile` wrote"
        raise PruneError(Diagnostic("P0711", message, help=hint)) from error
