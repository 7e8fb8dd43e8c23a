"""What an allocator is asked: groups, what each of their widths loses, and hard budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from prunec.diagnostics import Diagnostic, InternalError, Place, PruneError, Span
from prunec.ir import units
from prunec.ir.group import Group
from prunec.ir.plan import Cost, Ranking
from prunec.ir.units import show as amount
from prunec.passes.allocate import conflict, reach
from prunec.passes.allocate.conflict import Limit, Widths
from prunec.passes.cost import Costs, Metric
from prunec.passes.costfunction import CostFunction
from prunec.passes.polynomial import Floats
from prunec.passes.timed import Timed


@dataclass(frozen=True, slots=True)
class Budget:
    """A hard upper bound on a cost.

    ``scope`` are module paths (None: the whole model) and ``where`` how the user wrote them;
    ``text`` is the user's target, such as ``macs <= 50%``; a latency is one on ``device``.
    """

    metric: Metric | Literal["latency"]
    bound: int
    text: str
    scope: frozenset[str] | None = None
    where: str | None = None
    span: Span | None = None
    device: str | None = None


@dataclass(frozen=True)
class Problem:
    """Choose a width for every group.

    ``rankings`` and ``widths`` are by the name of the group; a group without a ranking keeps its
    full width. ``widths`` are ascending, at least 1 (0 for a block or a layer, which goes or
    stays), and end at the full width; a group without an entry may have any.

    ``limits`` are the user's lines that forbid widths, and ``free`` the widths that there were
    without any of them, of frozen groups too: they say why a budget cannot be met, and decide
    nothing. ``timed`` is what the model takes, by device.
    """

    groups: tuple[Group, ...]
    rankings: Mapping[str, Ranking]
    costs: Costs
    budgets: tuple[Budget, ...]
    widths: Widths
    limits: tuple[Limit, ...] = ()
    free: Widths = field(default_factory=dict)
    timed: Mapping[str, Timed] = field(default_factory=dict)

    def allowed(self, group: Group) -> tuple[int, ...]:
        """The widths that a group may have."""
        if group.name not in self.rankings:
            return (group.size,)
        least = _fewest(group)
        found = self.widths.get(group.name) or tuple(range(least, group.size + 1))
        if found[0] < least or found[-1] != group.size or list(found) != sorted(set(found)):
            raise InternalError(f"illegal widths for {group.name} of size {group.size}: {found}")
        return found

    def loss(self, group: Group, width: int) -> float:
        """The loss of a group that keeps ``width`` channels."""
        ranking = self.rankings.get(group.name)
        return 0.0 if ranking is None else float(ranking.loss[group.size - width])

    def cost(self, budget: Budget, widths: Mapping[str, int] | None = None) -> int:
        """The true cost that a budget bounds; ``widths`` by group name, absent ones full."""
        atoms = self._by_atom(widths or {})
        if budget.device is not None:
            return self.timed[budget.device].total(atoms, budget.scope)
        return self.costs.total(_counted(budget), atoms, budget.scope)

    def atoms(self, budget: Budget) -> frozenset[int]:
        """The atoms that a budget's cost depends on."""
        if budget.device is not None:
            return self.timed[budget.device].atoms(budget.scope)
        return self.costs.atoms(_counted(budget), budget.scope)

    def functions(self, budget: Budget, unknowns: Sequence[int]) -> tuple[CostFunction, ...]:
        """A budget's cost in the widths of some atoms, all others full: the largest of these.

        Where a budget's bound is zero, they are doubled, see `Table.build`.
        """
        if budget.device is not None:
            return self.timed[budget.device].compiled(unknowns, budget.scope)
        metric, bound = _counted(budget), budget.bound
        times = 1 if bound else 2
        return self.costs.compiled(metric, unknowns, budget.scope, above=bound, times=times)

    def report(self, widths: Mapping[str, int]) -> tuple[Cost, ...]:
        """Dense and slim costs: MACs and parameters of the whole model, every other metric that it
        has a budget of, then every budget in a scope.
        """
        atoms = self._by_atom(widths)
        bounds: dict[Metric, list[int]] = {"macs": [], "params": []}
        for budget in self.budgets:
            if not budget.scope and not budget.device:
                bounds.setdefault(_counted(budget), []).append(budget.bound)
        whole = (
            Cost(
                metric,
                None,
                self.costs.total(metric),
                self.costs.remaining(metric, atoms),
                min(found, default=None),
            )
            for metric, found in bounds.items()
        )
        scoped = (self._reported(b, atoms) for b in self.budgets if b.scope or b.device)
        return (*whole, *scoped)

    def _reported(self, budget: Budget, atoms: Mapping[int, int]) -> Cost:
        """A budget's cost; what it is of, in a scope or on a device, is named."""
        dense, scope = self.cost(budget), budget.scope
        if budget.device is not None:
            slim = self.timed[budget.device].remaining(atoms, scope)
            return Cost(
                f"latency on {budget.device}", budget.where, dense, slim, budget.bound, scope
            )
        slim = self.costs.remaining(_counted(budget), atoms, scope)
        where = budget.where or budget.text
        return Cost(budget.metric, where, dense, slim, budget.bound, scope)

    def _by_atom(self, widths: Mapping[str, int]) -> dict[int, int]:
        return {g.atom.id: widths[g.name] for g in self.groups if g.name in widths}


def _counted(budget: Budget) -> Metric:
    assert budget.metric != "latency", "a latency is one on a device"
    return budget.metric


def _fewest(group: Group) -> int:
    """The fewest channels that may ever stay."""
    return 0 if group.branches else 1


def allowed_widths(size: int, least: int = 1, multiple: int = 1) -> tuple[int, ...]:
    """The legal widths, ascending: multiples from ``least`` on, and always the full width.

    >>> allowed_widths(20, least=6, multiple=8)
    (8, 16, 20)
    """
    floor = min(max(least, 1), size)
    below = range(-(-floor // multiple) * multiple, size, multiple)
    return (*below, size)


def check(problem: Problem) -> tuple[str, ...]:
    """What to tell the user; raise when a budget cannot be met, or when all of them already are."""
    if not problem.budgets:
        help_ = "say what the slim model may cost, such as `target macs <= 50%`"
        raise PruneError(Diagnostic("P0603", "there is no target to prune for", help=help_))
    dense = {b: problem.cost(b) for b in problem.budgets}
    allowed = {g.name: problem.allowed(g) for g in problem.groups}
    beyond = [b for b in problem.budgets if reach.least(problem, b, allowed) > b.bound]
    if beyond:
        raise PruneError(*(d for b in beyond for d in _unreachable(problem, b)))
    if all(dense[b] <= b.bound for b in problem.budgets):
        raise PruneError(*(_already_met(b, dense[b]) for b in problem.budgets))
    met = [b for b in problem.budgets if dense[b] <= b.bound]
    fixed = [
        g for g in problem.groups if g.name in problem.rankings and allowed[g.name] == (g.size,)
    ]
    return (
        *(
            f"`{b.text}` already holds in the dense model ({amount(dense[b], b.metric)})"
            for b in met
        ),
        *(f"{g.name} keeps all {g.size}: no smaller width is allowed" for g in fixed),
    )


def _unreachable(problem: Problem, budget: Budget) -> tuple[Diagnostic, ...]:
    """One diagnostic for each minimal set of the user's lines that rule the budget out."""
    free = {g.name: problem.allowed(g) for g in problem.groups} | dict(problem.free)

    def cost(limits: Sequence[Limit]) -> int:
        if budget.device is None:
            return problem.cost(budget, conflict.least(free, limits))
        return reach.least(problem, budget, conflict.left(free, limits))

    allowed = {g.name: problem.allowed(g) for g in problem.groups}
    reachable = reach.least(problem, budget, allowed)
    asked, found = _apart(budget, budget.bound, reachable), _apart(budget, reachable, budget.bound)
    told_by = _predicted(budget)
    message = f"target `{budget.text}` cannot be reached{told_by}: at least {found}, asked {asked}"
    label = f"at most {asked} of the dense model's {amount(problem.cost(budget), budget.metric)}"
    told = Diagnostic("P0601", message, span=budget.span, label=label)
    conflicts = conflict.run(problem.limits, lambda some: cost(some) > budget.bound)
    return tuple(
        _conflict(told, budget, lines, cost, help_=f"ask for no less than {found}")
        if lines
        else _beyond(replace(told, label=f"at least {found}"), budget, problem)
        for lines in conflicts or [[]]
    )


def _conflict(
    told: Diagnostic,
    budget: Budget,
    lines: Sequence[Limit],
    cost: Callable[[Sequence[Limit]], int],
    *,
    help_: str,
) -> Diagnostic:
    """What lines rule out together, each with what it alone leaves."""
    alone = [
        f"alone leaves at least {_apart(budget, cost([line]), budget.bound)}" for line in lines
    ]
    pairs = list(zip(lines, alone, strict=True))
    notes = [f"`{line.text}` {label}" for line, label in pairs if line.span is None]
    if len(lines) > 1:
        together = _apart(budget, cost(lines), budget.bound)
        notes.append(f"these {len(lines)} lines together leave at least {together}")
    which = "any of these lines" if len(lines) > 1 else "this line"
    return replace(
        told,
        notes=tuple(notes),
        help=f"loosen or drop {which}, or {help_}",
        also=tuple(Place(line.span, label) for line, label in pairs if line.span),
    )


def _beyond(told: Diagnostic, budget: Budget, problem: Problem) -> Diagnostic:
    """What no line rules out but the target itself, and what is not selected."""
    selected = [g for g in problem.groups if g.name in problem.rankings or g.name in problem.free]
    bare = problem.cost(budget, {g.name: _fewest(g) for g in selected})
    names = {g.name for g in selected}
    fixed = [g.name for g in problem.groups if g.name not in names]
    if bare <= budget.bound:
        help_ = "lower `keep` or `multiple of`: the smallest widths that they allow cost too much"
    elif fixed:
        help_ = "prune more groups, or raise the target: what is not selected costs too much"
    else:
        help_ = "raise the target: what cannot be removed costs too much"
    without = sorted({g.kind[:-1] for g in selected if g.branches})
    what = "one channel in every selected group" + "".join(
        f", no selected {kind}" for kind in without
    )
    dense = amount(problem.cost(budget), budget.metric)
    notes = [f"dense: {dense}; {what}: {amount(bare, budget.metric)}"]
    if fixed:
        more = f" and {len(fixed) - 4} more" if len(fixed) > 4 else ""
        notes.append(f"free, but not selected: {', '.join(fixed[:4])}{more}")
    return replace(told, notes=tuple(notes), help=help_)


def _apart(budget: Budget, number: int, other: int) -> str:
    """A number, written out where it would look like the other one."""
    short, long = (amount(n, budget.metric) for n in (number, other))
    return short if short != long else units.exact(number, budget.metric)


def _predicted(budget: Budget) -> str:
    """What a latency that is not measured yet goes by."""
    return "" if budget.device is None else ", as the device profile predicts"


def _already_met(budget: Budget, dense: int) -> Diagnostic:
    now, asked = amount(dense, budget.metric), amount(budget.bound, budget.metric)
    return Diagnostic(
        "P0602",
        f"target `{budget.text}` is already met{_predicted(budget)}: {now}, asked {asked}",
        span=budget.span,
        label=f"the dense model has {now}",
        help="there is nothing to prune: ask for less than the model costs now",
    )


def losses(problem: Problem, group: Group) -> Floats:
    """The loss at every allowed width: float64[widths], never increasing."""
    ranking = problem.rankings[group.name]
    if len(ranking.loss) != group.size + 1 or not np.isfinite(ranking.loss).all():
        raise InternalError(f"the ranking of {group.name} does not fit it, or is not finite")
    removed = group.size - np.array(problem.allowed(group))
    found: Floats = np.maximum.accumulate(ranking.loss)[removed]
    return found
