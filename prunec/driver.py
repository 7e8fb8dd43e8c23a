"""The driver: the compiler as a paragraph. Start reading here.

Each stage is a plain function from values to a value. `plan` decides what goes, `compile` makes the
smaller model and proves it; nothing is written before all of it has succeeded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from prunec import (
    accuracy,
    artifact,
    formats,
    part,
    planning,
    prepare,
    proof,
    slim,
    stopwatch,
    tighten,
    weights,
)
from prunec.check import Removed
from prunec.diagnostics import Diagnostic, PruneError
from prunec.emit import census
from prunec.formats import Slim
from prunec.ir.plan import Plan
from prunec.part import Whole
from prunec.passes import repair
from prunec.passes.batches import collate
from prunec.passes.shrink import Shrunk
from prunec.planning import Planned
from prunec.prepare import Job, Subject
from prunec.proof import Claim
from prunec.report.data import Accuracy, Certificate, Check, Report, Width
from prunec.spec import Format


@dataclass(frozen=True, eq=False)
class Compiled:
    """A smaller model.

    ``module`` is built from ``source`` and is in eval mode; ``files`` are the artefact's files by
    name, written to the folder ``out`` unless that is None. ``removed`` and ``formats`` are what
    `prunec.verify` tests. ``whole`` is the model that the module is a part of, if it is one.
    """

    module: nn.Module
    plan: Plan
    report: Report
    source: str
    files: Mapping[str, bytes]
    out: Path | None
    removed: Removed
    whole: Whole | None = None
    formats: tuple[Format, ...] = ()

    def install(self, model: nn.Module) -> nn.Module:
        """Put the slim part where the original part is, in ``model``, and return that same model.

        ``model`` is changed in place: the attributes, or the items of containers, that hold the
        part hold a copy of the slim one afterwards. Pass a ``copy.deepcopy`` to keep the original.

        Raises:
            PruneError: P0345 if the spec names no part, or ``model`` is another model.
        """
        if self.whole is None:
            raise PruneError(_no_part())
        part.install(model, self.whole, self.module)
        return model


def plan(job: Job) -> Planned:
    """Decide what to remove. A model on the meta device will do, where no score reads weights."""
    return planning.run(job, _built(job))


def compile(job: Job) -> Compiled:
    """Decide what to remove, remove it, repair and prove what is left, and write it."""
    formats.check_installed(job.spec.formats)
    stopwatch.check(job.spec)
    subject = _built(job)
    weights.check_real(subject.module, "compiling")
    planned, timings = tighten.run(planning.run(job, subject))
    job.stage("shrinking")
    shrunk = slim.shrunk(planned)
    job.stage("repairing")
    repaired = _repaired(planned, shrunk)
    job.stage("emitting")
    made = slim.run(planned, shrunk, repaired)
    other = formats.run(job.spec.formats, made, job.stage)
    files = artifact.build(planned, made, other.files)
    claim = Claim(_removed(shrunk), made.module, files, job.spec.formats, planned.plan.costs)
    found = report(planned)
    found = replace(
        found,
        timings=timings,
        source=census.run(made.source),
        accuracy=_accuracy(planned, made.module),
        checks=_proved(planned, claim),
        diagnostics=(*found.diagnostics, *other.notes),
    )
    job.stage("writing")
    out = artifact.write(job, files)
    return _compiled(planned, made, found, claim, out)


def report(planned: Planned) -> Report:
    """What a plan says, before anything is proved or measured."""
    found, kept = planned.plan, planned.plan.keep
    blocks = (g for g in planned.selection.groups if g.branches)
    return Report(
        model=planned.model.traced.graph.name,
        frontend=planned.model.traced.graph.frontend,
        solver=found.solver,
        plan=Certificate(found.objective, found.bound, found.gap, found.seed, found.seconds),
        costs=found.costs,
        widths=tuple(
            Width(g.name, g.kind, g.size, len(kept.get(g.name, range(g.size))), g.exact)
            for g in (*planned.model.groups, *blocks)
        ),
        diagnostics=planned.diagnostics,
    )


def _built(job: Job) -> Subject:
    job.stage("building the model")
    return prepare.run(job)


def _repaired(planned: Planned, shrunk: Shrunk) -> dict[str, Tensor]:
    """The slim weights, repaired; those that a part shares with its model must stay equal."""
    traced, whole = planned.model.traced, planned.model.subject.whole
    methods = planned.job.spec.repair
    found = repair.run(methods, traced.graph, traced.weights, shrunk, planned.batches)
    if whole is not None:
        part.check_shared(whole, traced.weights, found)
    return found


def _removed(shrunk: Shrunk) -> Removed:
    return Removed(shrunk.values, shrunk.kept, shrunk.dropped, shrunk.absent, shrunk.renumbered)


def _proved(planned: Planned, claim: Claim) -> tuple[Check, ...]:
    """All checks, unless the caller wants none."""
    if not planned.job.check:
        return ()
    model = planned.model
    return proof.run(model.subject, model.traced, claim, planned.job.stage)


def _accuracy(planned: Planned, made: nn.Module) -> Accuracy | None:
    """Accuracy before and after, where there is evaluation data with classes as labels."""
    job, model = planned.job, planned.model
    data = prepare.batches(job, job.spec.evaluate, job.evaluate)
    if data is None:
        return None
    job.stage("evaluating")
    graph, whole = model.traced.graph, model.subject.whole
    if whole is not None:
        shortened = copy.deepcopy(whole.module)
        part.install(shortened, whole, made)
        return accuracy.of_modules(whole, shortened, data)
    return accuracy.run(graph, model.traced.weights, made, collate(data, graph))


def _compiled(
    planned: Planned, made: Slim, found: Report, claim: Claim, out: Path | None
) -> Compiled:
    return Compiled(
        module=made.module,
        plan=planned.plan,
        report=found,
        source=made.source,
        files=claim.files,
        out=out,
        removed=claim.removed,
        whole=planned.model.subject.whole,
        formats=claim.formats,
    )


def _no_part() -> Diagnostic:
    return Diagnostic(
        "P0345",
        "a whole model was compiled, not a part: there is nothing to install it in",
        help="use `compiled.module`, which is the slim model; a part is named by "
        '`model { part "backbone" }`',
    )
