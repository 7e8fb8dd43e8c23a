"""Tightening: measure what a plan gives, and plan again until every latency target is held.

A profile predicts; the emitted model is what counts. Where it takes longer than a target allows,
its own error is known near that plan, ``measured / predicted``: the bound on the prediction is
divided by it, and the next plan is measured. The weights need no repair for that. Scores are not
made again, and a bound only ever falls, so that no plan comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from prunec import planning, slim, stopwatch
from prunec.diagnostics import Diagnostic, PruneError
from prunec.formats import Slim
from prunec.ir import units
from prunec.passes.allocate import Budget
from prunec.planning import Planned
from prunec.report.data import Timing, ratio
from prunec.spec import Target
from prunec.stopwatch import Measured

TRIES = 4
"""Plans that are measured at most."""
SLACK = 0.01
"""By how much more than the error seen a bound is tightened; each time twice that of the last."""
STEPS = 100
"""Tightened bounds are multiples of the first one's hundredth: what differs by noise alone is
mostly planned alike.
"""

Asked: TypeAlias = tuple[Target, Budget]
Measure: TypeAlias = Callable[[Planned, Slim, Target, Budget], Measured]


def run(first: Planned, measure: Measure = stopwatch.run) -> tuple[Planned, tuple[Timing, ...]]:
    """The plan that holds every latency target as measured, and the times; the first plan where no
    target is about latency. A plan of the caller's own is measured once.

    Raises:
        PruneError: P0630 where no try holds them, and as `stopwatch.run`.
    """
    asked = [pair for pair in first.asked if pair[0].metric == "latency"]
    most = TRIES if first.job.plan is None else 1
    planned, bounds, tried = first, {b: b.bound for _, b in asked}, list[tuple[Timing, ...]]()
    while asked:
        timings = _measured(planned, asked, measure, tried)
        tried.append(timings)
        missed = [(t, b) for t, (_, b) in zip(timings, asked, strict=True) if not t.holds]
        if not missed:
            return planned, timings
        if len(tried) == most:
            raise PruneError(*_missed(asked, tried))
        bounds |= {b: tighter(t, b.bound) for t, b in missed}
        try:
            planned = planning.again(planned, bounds)
        except PruneError as error:
            raise PruneError(*_missed(asked, tried, error)) from error
    return first, ()


def tighter(missed: Timing, bound: int) -> int:
    """The bound on the next prediction, below the last one; ``bound`` is that of the first try.

    The prediction that is allowed is what was allowed as measured, over the last try's error, with
    as much room as measurements scatter.
    """
    slack = SLACK * 2 ** (missed.tries - 1)
    allowed = missed.profiled_slim * missed.bound / missed.sure * (1 - slack)
    step = max(1, bound // STEPS)
    return int(allowed) // step * step


def _measured(
    planned: Planned,
    asked: Sequence[Asked],
    measure: Measure,
    tried: Sequence[tuple[Timing, ...]],
) -> tuple[Timing, ...]:
    """Each latency target with what it takes, dense and slim; ``tried`` are those of the plans
    before.
    """
    job = planned.job
    job.stage("shrinking")
    shrunk = slim.shrunk(planned)
    job.stage("emitting")
    made = slim.run(planned, shrunk, shrunk.weights)
    job.stage(f"measuring, try {len(tried) + 1} of {TRIES}")
    found = [_timing(planned, t, b, measure(planned, made, t, b)) for t, b in asked]
    errors = [before.share_error for before in tried[-1]] if tried else [1.0] * len(found)
    return tuple(
        replace(timing, tries=len(tried) + 1, error=error)
        for timing, error in zip(found, errors, strict=True)
    )


def _timing(planned: Planned, target: Target, budget: Budget, times: Measured) -> Timing:
    return Timing(
        target=budget.text,
        device=str(target.device),
        scope=budget.where,
        bound=target.bound(times.dense.ns),
        dense=times.dense.ns,
        slim=times.slim.ns,
        profiled_dense=planned.problem.cost(budget),
        profiled_slim=planned.problem.cost(budget, planned.widths),
        noise=times.noise,
        tries=1,
    )


def _missed(
    asked: Sequence[Asked], tried: Sequence[tuple[Timing, ...]], stuck: PruneError | None = None
) -> list[Diagnostic]:
    """One finding for every target that the last try missed."""
    return [
        _finding(budget, [timings[at] for timings in tried], stuck)
        for at, (_, budget) in enumerate(asked)
        if not tried[-1][at].holds
    ]


def _finding(budget: Budget, tried: Sequence[Timing], stuck: PruneError | None) -> Diagnostic:
    last = tried[-1]
    notes = [f"dense: {_beside(last.profiled_dense, last.dense)}"]
    notes += [f"try {t.tries}: {_beside(t.predicted, t.slim)}" for t in tried]
    notes.append(f"measurements scatter by {last.noise:.1%}")
    if stuck is not None:
        notes += [f"no further plan: {d.message}" for d in stuck.diagnostics]
    took, allowed = _time(last.slim), _time(last.bound)
    notes += [] if last.slim > last.bound else [f"with what they scatter, {_time(last.sure)}"]
    return Diagnostic(
        "P0630",
        f"target `{budget.text}` is missed as measured: {took}, allowed {allowed}",
        span=budget.span,
        label=f"{took} after {len(tried)} {'try' if len(tried) == 1 else 'tries'}",
        notes=tuple(notes),
        help="ask for less, let more groups be pruned, or profile anew on a machine at rest: "
        "nothing was written",
    )


def _time(nanoseconds: int) -> str:
    return units.show(nanoseconds, "latency")


def _beside(predicted: int, measured: int) -> str:
    found = ratio(predicted, measured)
    shown = "" if found is None else f" (predicted/measured {found:.2f})"
    return f"predicted {_time(predicted)}, measured {_time(measured)}{shown}"
