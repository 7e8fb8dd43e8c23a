"""Planning: from a model to what of it is to be removed. Scores are made once, whatever follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from prunec import (
    apply,
    budgets,
    devices,
    part,
    planfile,
    prepare,
    scoring,
    selection,
    understand,
    vocabulary,
    weights,
)
from prunec.devices import Devices
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.axis import Mask
from prunec.ir.plan import Plan
from prunec.passes import allocate
from prunec.passes.allocate import Budget, Problem
from prunec.passes.allocate.problem import check
from prunec.passes.batches import Batch, collate
from prunec.planfile import Inputs
from prunec.prepare import Job, Subject
from prunec.scoring import NOTHING, Scored
from prunec.selection import Selection
from prunec.spec import Spec, Target
from prunec.understand import Understood


@dataclass(frozen=True, eq=False)
class Planned:
    """What is to be removed: ``plan`` solves ``problem``. ``batches`` are the calibration data,
    where anything needs it; ``scored`` is what the problem's losses are from, and what a solver
    measures by.
    """

    job: Job
    model: Understood
    selection: Selection
    batches: tuple[Batch, ...]
    problem: Problem
    plan: Plan
    devices: Devices = field(default_factory=Devices)
    scored: Scored = NOTHING

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Warnings and notes, in the order in which they came up."""
        ids = vocabulary.notes(self.renumbered)
        notes = (Diagnostic("P0604", note, severity="note") for note in self.plan.notes)
        known = (*self.model.notes, *self.model.analysis.notes)
        warnings = (*self.selection.warnings, *self.devices.warnings)
        return (*known, *warnings, *self.scored.notes, *ids, *notes)

    @property
    def widths(self) -> dict[str, int]:
        """The channels that stay of each group that loses some."""
        return {name: len(kept) for name, kept in self.plan.keep.items()}

    @property
    def asked(self) -> tuple[tuple[Target, Budget], ...]:
        """The spec's targets, each with the budget that it became."""
        return tuple(zip(self.job.spec.targets, self.problem.budgets, strict=True))

    @property
    def inputs(self) -> Inputs:
        """The hashes of all that decides the plan."""
        text, traced = self.job.spec.source.text, self.model.traced
        batches = self.batches if self.job.spec.plans_by_data else ()
        return planfile.inputs(text, traced.graph, traced.weights, batches, self.devices.digest)

    def file(self) -> bytes:
        """The plan as a file."""
        return planfile.write(self.inputs, self.job.spec.solve, self.plan, self.problem)

    @property
    def renumbered(self) -> dict[str, Mask]:
        """Inputs whose integers are renumbered, with those that are kept."""
        return vocabulary.kept(self.model.axes, self.model.groups, self.plan)


def run(job: Job, subject: Subject) -> Planned:
    """Decide what to remove from a subject, or take the caller's word for it."""
    ready = prepared(job, subject)
    return solved(ready) if job.plan is None else _applied(ready, job.plan)


def prepared(job: Job, subject: Subject, *, feasible: bool = True) -> Planned:
    """All that solving needs: nothing is removed yet. With ``feasible``, targets that cannot be met
    are refused before anything is scored (P0601 to P0603).
    """
    vocabulary.check(job)
    if job.spec.reads_weights:
        weights.check_real(subject.module, "a score or the solver of this spec")
    model = understand.run(subject, job.stage, renumber=job.spec.renumbers)
    chosen = selection.run(job.spec, model.analysis)
    profiled = devices.run(job, model, chosen)
    problem = budgets.problem(job.spec, model, chosen, budgets.unranked(chosen), profiled)
    if feasible and job.plan is None:
        check(problem)
    ready = Planned(job, model, chosen, _calibration(job, model), problem, Plan({}), profiled)
    if job.plan is not None:
        return ready
    scored = scoring.run(job, model, chosen, ready.batches)
    ranked = replace(problem, rankings=scored.rankings)
    return replace(ready, problem=ranked, scored=scored)


def solved(ready: Planned) -> Planned:
    """With the plan that solves the problem."""
    ready.job.stage("allocating")
    found = allocate.run(ready.job.spec.solve, ready.problem, ready.scored.damage)
    return replace(ready, plan=found)


def again(planned: Planned, bounds: Mapping[Budget, int]) -> Planned:
    """With a plan for other bounds of some budgets, its costs held against the problem's own.

    Raises:
        PruneError: P0601 for bounds out of reach.
    """
    problem = planned.problem
    budgets = tuple(replace(b, bound=bounds.get(b, b.bound)) for b in problem.budgets)
    found = solved(replace(planned, problem=replace(problem, budgets=budgets)))
    costs = problem.report(found.widths)
    return replace(found, problem=problem, plan=replace(found.plan, costs=costs))


def _applied(ready: Planned, given: Plan | Path) -> Planned:
    """With the caller's plan, or the plan of a file, in place of one that is solved for."""
    ready.job.stage("checking the plan")
    if isinstance(given, Plan):
        return replace(ready, plan=apply.run(given, ready.problem, "in memory"))
    held = planfile.load(given)
    planfile.check_inputs(held, ready.inputs, str(given))
    return replace(ready, plan=apply.run(held, ready.problem, str(given)))


def _calibration(job: Job, model: Understood) -> tuple[Batch, ...]:
    """The calibration batches, where a score, the solver or a repair looks at them; only a repair
    looks at them where the caller's plan says what goes.
    """
    needed = bool(job.spec.repair) if isinstance(job.plan, Plan) else job.spec.needs_data
    if not needed:
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
    scoring = "`score l2`, `solve milp`" if searching else "`score l2`"
    return Diagnostic(
        "P0411",
        f"calibration data is needed by {listed}",
        span=spec.span,
        help=f"add `data calibrate = module:factory`, or pass `calibrate=`; {scoring} and "
        "`repair none` do without",
    )
