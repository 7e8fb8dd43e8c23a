"""Sweeps: one target at many bounds. The model is traced and scored once, then solved many times;
all other targets stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import assert_never

from prunec import planning, prepare, spec
from prunec.diagnostics import Diagnostic, PruneError, Source
from prunec.ir.plan import Plan
from prunec.passes.allocate import Budget, Problem
from prunec.planning import Planned
from prunec.prepare import Job
from prunec.report.front import Front, Step
from prunec.spec import Amount, Count, Measure, Share, Spec, Target

STEPS = 9
"""Bounds that a range is divided into."""


@dataclass(frozen=True)
class Swept:
    """One target, the budget that it is, and the plan or why there is none."""

    target: Target
    budget: Budget
    found: Plan | tuple[Diagnostic, ...]


def run(job: Job, metric: str, bounds: Sequence[str]) -> tuple[Planned, tuple[Swept, ...]]:
    """A plan for each bound, with what all of them share.

    ``metric`` is what the language says of a target beside its amount: ``macs``, ``macs in
    "layer1.*"``, ``latency on cpu(threads=1)``. Where the spec has this target, the bounds take
    its place; else it is one more. The device of a latency is that of the spec's only one, if none
    is named.

    Raises:
        PruneError: P02xx for what is no target, and all that planning raises, but P0601 and P0602
            are what a step found.
    """
    targets = [target(job.spec, metric, bound) for bound in bounds]
    others = [t for t in job.spec.targets if not _same(t, targets[0])]
    swept = job.spec.model_copy(update={"targets": (*others, targets[0])})
    ready = planning.prepared(replace(job, spec=swept), prepare.run(job), feasible=False)
    return ready, tuple(_solved(ready, each) for each in targets)


def front(ready: Planned, found: Sequence[Swept]) -> Front:
    """What a sweep found, as data."""
    problem, budget = ready.problem, ready.problem.budgets[-1]
    return Front(
        metric=budget.metric,
        scope=budget.where,
        dense=problem.cost(budget),
        solver=ready.job.spec.solve.as_dict(),
        inputs=ready.inputs.model_dump(),
        sizes={g.name: g.size for g in problem.groups if g.name in problem.rankings},
        steps=tuple(_step(each, problem) for each in found),
    )


def _step(swept: Swept, problem: Problem) -> Step:
    target, bound, found = str(swept.target), swept.budget.bound, swept.found
    if not isinstance(found, Plan):
        return Step(target, bound, faults=found)
    widths = {name: len(kept) for name, kept in found.keep.items()}
    return Step(target, bound, found, problem.cost(swept.budget, widths))


def target(given: Spec, metric: str, bound: str) -> Target:
    """The target that a metric and a bound make, in the spec's own words (P02xx)."""
    word, _, rest = metric.strip().partition(" ")
    relation = ">=" if word == "sparsity" else "<="
    devices = {str(t.device) for t in given.targets if t.metric == word and t.device}
    if len(devices) == 1 and not re.search(r"\bon\b", rest):
        rest = f"{rest} on {devices.pop()}"
    text = f"target {word} {relation} {bound} {rest}".strip()
    found = spec.load(Source("<sweep>", text), in_memory=True)
    if found != Spec(source=found.source, targets=found.targets[:1]):
        raise _no_range(text.removeprefix("target "))
    return found.targets[0]


def steps(metric: str, first: str, last: str, count: int, given: Spec) -> tuple[str, ...]:
    """The bounds of a range, evenly spread, both ends included (P0646)."""
    a, b = (target(given, metric, end).amount for end in (first, last))
    if type(a) is not type(b):
        raise PruneError(
            Diagnostic(
                "P0646",
                f"the range `{first}..{last}` goes from one kind of amount to another",
                help="give both ends in percent, or both as absolute amounts",
            )
        )
    found = (_between(a, b, Decimal(k) / (count - 1)) for k in range(count))
    return tuple(dict.fromkeys(map(str, found)))


def parse(text: str, count: int, given: Spec) -> tuple[str, tuple[str, ...]]:
    """The metric and the bounds of ``macs=70%..30%`` (P0646)."""
    metric, sign, ends = text.rpartition("=")
    first, dots, last = ends.partition("..")
    if not sign or not dots or not metric.strip() or not first.strip() or not last.strip():
        raise _no_range(text)
    return metric.strip(), steps(metric, first.strip(), last.strip(), count, given)


def _no_range(text: str) -> PruneError:
    message = f"`{text}` is no range of a target"
    hint = "write a metric and two amounts: `macs=70%..30%`"
    return PruneError(Diagnostic("P0646", message, help=hint))


def _between(a: Amount, b: Amount, share: Decimal) -> Amount:
    """The amount at a share of the way, in round numbers."""
    if share in (0, 1):
        return b if share else a
    start, end = _number(a), _number(b)
    value = start + (end - start) * share
    match a:
        case Share():
            return Share(percent=Decimal(f"{value:.4g}"))
        case Count():
            return Count(value=round(value))
        case Measure():
            return Measure(value=value.to_integral_value(), quantity=a.quantity)
        case _:
            assert_never(a)


def _number(amount: Amount) -> Decimal:
    return amount.percent if isinstance(amount, Share) else Decimal(amount.value)


def _same(one: Target, other: Target) -> bool:
    """Whether two targets differ in their amounts alone."""
    return one.model_copy(update={"amount": other.amount}) == other


def _solved(ready: Planned, asked: Target) -> Swept:
    *others, last = ready.problem.budgets
    bound = asked.bound(ready.problem.cost(last))
    budget = replace(last, bound=bound, text=str(asked), span=asked.span)
    problem = replace(ready.problem, budgets=(*others, budget))
    try:
        return Swept(asked, budget, planning.solved(replace(ready, problem=problem)).plan)
    except PruneError as error:
        return Swept(asked, budget, error.diagnostics)
