"""Applying a plan that was made before: nothing is scored and nothing solved, all is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from prunec.diagnostics import Diagnostic, PruneError, nearest
from prunec.ir import units
from prunec.ir.group import Group
from prunec.ir.plan import Plan
from prunec.passes.allocate import Problem
from prunec.passes.allocate.problem import check
from prunec.planfile import PlanFile


def run(held: PlanFile | Plan, problem: Problem, name: str) -> Plan:
    """The plan, with its costs as they are now; ``name`` is what the user calls it. Rankings of
    ``problem`` say no more than which groups are selected.

    Raises:
        PruneError: P0643 for groups that the spec does not let lose channels, P0644 for channels
            that a group cannot keep, P0645 for budgets that are exceeded, P0601 and P0602.
    """
    notes = check(problem)
    plan = held if isinstance(held, Plan) else _plan(held)
    groups = {g.name: g for g in problem.groups}
    faults = [
        fault
        for group, kept in plan.keep.items()
        for fault in _faults(group, kept, groups.get(group), problem)
    ]
    if isinstance(held, PlanFile):
        faults += _disagreements(held, groups)
    widths = {group: len(kept) for group, kept in plan.keep.items()}
    faults = faults or list(_exceeded(widths, problem))
    if faults:
        found = (replace(f, message=f"plan `{name}`: {f.message}") for f in faults)
        raise PruneError(*found)
    return replace(plan, keep=_shortened(plan, groups), costs=problem.report(widths), notes=notes)


def _shortened(plan: Plan, groups: Mapping[str, Group]) -> dict[str, tuple[int, ...]]:
    """The groups that lose something, in the order of the model."""
    return {
        name: tuple(plan.keep[name])
        for name, group in groups.items()
        if name in plan.keep and len(plan.keep[name]) < group.size
    }


def _plan(held: PlanFile) -> Plan:
    keep = {name: tuple(kept) for name, kept in held.keep.items()}
    certificate = (held.solver.name, held.objective, held.bound)
    return Plan(keep, *certificate, damage=held.damage, seed=held.seed)


def _faults(
    name: str, kept: Sequence[int], group: Group | None, problem: Problem
) -> Iterator[Diagnostic]:
    """What is wrong with the indices of one group."""
    if group is None:
        hint = nearest(name, [g.name for g in problem.groups])
        yield Diagnostic("P0643", f"there is no group `{name}`", help=hint)
    elif group.name not in problem.rankings and len(kept) != group.size:
        yield Diagnostic("P0643", f"the spec lets `{name}` lose nothing: it is not selected")
    elif any(not 0 <= k < group.size for k in kept):
        most = group.size - 1
        wrong = next(k for k in kept if not 0 <= k < group.size)
        yield Diagnostic("P0644", f"`{name}` has channels 0 to {most}, and none that is {wrong}")
    elif any(a >= b for a, b in pairwise(kept)):
        yield Diagnostic("P0644", f"the channels of `{name}` do not ascend")
    elif len(kept) not in problem.allowed(group):
        yield Diagnostic("P0644", f"the spec does not let `{name}` keep {len(kept)} channels")


def _disagreements(held: PlanFile, groups: Mapping[str, Group]) -> Iterator[Diagnostic]:
    """Where the widths of a file are not those of its indices, or not those of the model."""
    for name, width in held.widths.items():
        group = groups.get(name)
        if group is None:
            yield Diagnostic("P0643", f"there is no group `{name}`")
        elif group.size != width.size:
            yield Diagnostic(
                "P0644", f"`{name}` is said to have {width.size} channels, and it has {group.size}"
            )
        elif width.kept != len(held.keep.get(name, range(group.size))):
            yield Diagnostic("P0644", f"the width of `{name}` is not that of the channels it keeps")


def _exceeded(widths: Mapping[str, int], problem: Problem) -> Iterator[Diagnostic]:
    for budget in problem.budgets:
        cost = problem.cost(budget, widths)
        if cost > budget.bound:
            found, asked = (units.show(n, budget.metric) for n in (cost, budget.bound))
            yield Diagnostic(
                "P0645",
                f"target `{budget.text}` is exceeded: {found}, asked {asked}",
                span=budget.span,
            )
