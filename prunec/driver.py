"""The driver: the compiler as a paragraph. Start reading here.

Each stage is a plain function from values to a value. `plan` decides what goes, `compile` makes the
smaller model and proves it; nothing is written before all of it has succeeded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from prunec import (
    accuracy,
    artifact,
    budgets,
    emit,
    formats,
    part,
    prepare,
    proof,
    selection,
    understand,
    vocabulary,
    weights,
)
from prunec.check import Removed
from prunec.diagnostics import Diagnostic, PruneError
from prunec.emit import census
from prunec.formats import Slim
from prunec.ir import verify
from prunec.ir.axis import Mask
from prunec.ir.plan import Plan, Ranking
from prunec.part import Whole
from prunec.passes import allocate, repair, score, shrink
from prunec.passes.batches import Batch, collate
from prunec.passes.score import Context
from prunec.prepare import Job, Subject
from prunec.proof import Claim
from prunec.report.data import Accuracy, Report, Width
from prunec.selection import Selection
from prunec.spec import Format, Spec
from prunec.understand import Understood


@dataclass(frozen=True, eq=False)
class Planned:
    """What is to be removed. ``batches`` are the calibration data, where anything needs it."""

    job: Job
    model: Understood
    selection: Selection
    batches: tuple[Batch, ...]
    plan: Plan

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Warnings and notes, in the order in which they came up."""
        ids = vocabulary.notes(self.renumbered)
        notes = (Diagnostic("P0604", note, severity="note") for note in self.plan.notes)
        known = (*self.model.notes, *self.model.analysis.notes)
        return (*known, *self.selection.warnings, *ids, *notes)

    @property
    def renumbered(self) -> dict[str, Mask]:
        """Inputs whose integers are renumbered, with those that are kept."""
        return vocabulary.kept(self.model.axes, self.model.groups, self.plan)


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
    return _plan(job, _built(job))


def _built(job: Job) -> Subject:
    job.stage("building the model")
    return prepare.run(job)


def _plan(job: Job, subject: Subject) -> Planned:
    vocabulary.check(job)
    if job.spec.reads_weights:
        weights.check_real(subject.module, "a score or the solver of this spec")
    model = understand.run(subject, job.stage, renumber=job.spec.renumbers)
    chosen = selection.run(job.spec, model.analysis)
    batches = _calibration(job, model)
    rankings = _rankings(job, model, chosen, batches)
    job.stage("allocating")
    found = allocate.run(job.spec.solve, budgets.problem(job.spec, model, chosen, rankings))
    return Planned(job, model, chosen, batches, found)


def compile(job: Job) -> Compiled:
    """Decide what to remove, remove it, prove and repair what is left, and write it."""
    formats.check_installed(job.spec.formats)
    subject = _built(job)
    weights.check_real(subject.module, "compiling")
    planned = _plan(job, subject)
    graph, tensors = planned.model.traced.graph, planned.model.traced.weights
    job.stage("shrinking")
    groups = (*planned.model.groups, *planned.model.blocks, *planned.model.layers)
    shrunk = shrink.run(graph, tensors, planned.model.axes, groups, planned.plan)
    verify.run(shrunk.graph)
    removed = Removed(shrunk.values, shrunk.kept, shrunk.dropped, shrunk.absent, shrunk.renumbered)
    job.stage("repairing")
    repaired = repair.run(job.spec.repair, graph, tensors, shrunk, planned.batches)
    whole = planned.model.subject.whole
    if whole is not None:
        part.check_shared(whole, tensors, repaired)
    job.stage("emitting")
    name = artifact.class_name(job, planned.model.subject)
    header = artifact.header(job, planned.renumbered)
    source = emit.run(shrunk.graph, class_name=name, header=header, weights=repaired)
    module = emit.load(source, repaired, name)
    subject = planned.model.subject
    given = (subject.module, subject.args, subject.kwargs)
    slim = Slim(name, source, module, shrunk.graph, repaired, *given, planned.renumbered)
    made = formats.run(job.spec.formats, slim, job.stage)
    files = artifact.build(
        job,
        planned.model.traced,
        planned.plan,
        graph=shrunk.graph,
        source=source,
        weights=repaired,
        renumbered=planned.renumbered,
        more=made.files,
    )
    planned_report = report(planned)
    found = replace(
        planned_report,
        accuracy=_accuracy(job, planned.model, module),
        source=census.run(source),
        diagnostics=(*planned_report.diagnostics, *made.notes),
    )
    if job.check:
        claim = Claim(removed, module, files, job.spec.formats)
        checks = proof.run(subject, planned.model.traced, claim, job.stage)
        found = replace(found, checks=checks)
    job.stage("writing")
    written = artifact.write(job, files)
    return Compiled(
        module, planned.plan, found, source, files, written, removed, whole, job.spec.formats
    )


def report(planned: Planned) -> Report:
    """What a plan says, before anything is proved or measured."""
    kept = planned.plan.keep
    blocks = (g for g in planned.selection.groups if g.branches)
    return Report(
        model=planned.model.traced.graph.name,
        frontend=planned.model.traced.graph.frontend,
        solver=planned.plan.solver,
        costs=planned.plan.costs,
        widths=tuple(
            Width(g.name, g.kind, g.size, len(kept.get(g.name, range(g.size))), g.exact)
            for g in (*planned.model.groups, *blocks)
        ),
        diagnostics=planned.diagnostics,
    )


def _calibration(job: Job, model: Understood) -> tuple[Batch, ...]:
    """The calibration batches, where a score, the solver or a repair looks at them."""
    if not job.spec.needs_data:
        return ()
    job.stage("reading the calibration data")
    given = prepare.batches(job, job.spec.calibrate, job.calibrate)
    if given is None:
        raise PruneError(_no_data(job.spec))
    if model.subject.whole is not None:
        if job.spec.needs_labels:
            raise PruneError(_no_labels(job.spec))
        given = part.batches(model.subject.whole, given)
    return collate(given, model.traced.graph)


def _rankings(
    job: Job, model: Understood, chosen: Selection, batches: tuple[Batch, ...]
) -> dict[str, Ranking]:
    """Each rule's groups, ranked by the rule's score."""
    found: dict[str, Ranking] = {}
    graph, tensors = model.traced.graph, model.traced.weights
    for rule in chosen.rules:
        job.stage(f"scoring by {rule.prune.chosen_score.name}")
        if rule.groups:
            context = Context(
                graph, tensors, model.axes, rule.groups, batches, model.subject.module
            )
            found |= score.run(rule.prune.chosen_score, context)
    return found


def _accuracy(job: Job, model: Understood, slim: nn.Module) -> Accuracy | None:
    """Accuracy before and after, where there is evaluation data with classes as labels."""
    data = prepare.batches(job, job.spec.evaluate, job.evaluate)
    if data is None:
        return None
    job.stage("evaluating")
    graph, whole = model.traced.graph, model.subject.whole
    if whole is not None:
        shortened = copy.deepcopy(whole.module)
        part.install(shortened, whole, slim)
        return accuracy.of_modules(whole, shortened, data)
    return accuracy.run(graph, model.traced.weights, slim, collate(data, graph))


def _no_part() -> Diagnostic:
    return Diagnostic(
        "P0345",
        "a whole model was compiled, not a part: there is nothing to install it in",
        help="use `compiled.module`, which is the slim model; a part is named by "
        '`model { part "backbone" }`',
    )


def _no_labels(spec: Spec) -> Diagnostic:
    named = next(r.chosen_score for r in spec.prunes if r.chosen_score.needs_labels)
    return Diagnostic(
        "P0346",
        f"the score `{named.name}` needs the loss of the whole model, but a part is compiled",
        span=spec.part.span if spec.part else None,
        help="score the part by `obs`, which needs no labels, or by `l2`",
    )


def _no_data(spec: Spec) -> Diagnostic:
    scores = (rule.chosen_score for rule in spec.prunes)
    searching = spec.solve.needs_data
    methods = [
        *(m.name for m in scores if m.needs_data),
        *([spec.solve.name] if searching else []),
        *(m.name for m in spec.repair),
    ]
    listed = ", ".join(f"`{name}`" for name in dict.fromkeys(methods))
    without = (
        "`score l2`, `solve dp` and `repair none`"
        if searching
        else ("`score l2` and `repair none`")
    )
    return Diagnostic(
        "P0411",
        f"calibration data is needed by {listed}",
        span=spec.span,
        help=f"add `data calibrate = module:factory`, or pass `calibrate=`; {without} do without",
    )
