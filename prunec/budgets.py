"""Budgets: the spec's targets and the selected groups, as the problem that the allocator solves."""

from __future__ import annotations

from collections.abc import Mapping

from prunec.diagnostics import InternalError
from prunec.ir.plan import Ranking
from prunec.passes import cost
from prunec.passes.allocate import Budget, Problem
from prunec.passes.cost import Costs
from prunec.selection import Selection
from prunec.spec import Metric, Spec, Target, select, text
from prunec.spec.suggest import Modules
from prunec.understand import Understood


def problem(
    spec: Spec, model: Understood, chosen: Selection, rankings: Mapping[str, Ranking]
) -> Problem:
    """What the allocator is asked. Shares of a target are of what the dense model costs."""
    blocks = tuple(g for g in chosen.claimed if g.branches)
    costs = cost.run(model.traced.graph, model.axes, blocks)
    modules = tuple((m.path, m.cls) for m in model.traced.graph.modules)
    budgets = tuple(_budget(target, costs, modules) for target in spec.targets)
    return Problem(
        (*model.groups, *blocks),
        rankings,
        costs,
        budgets,
        chosen.widths(),
        limits=chosen.limits(),
        free=chosen.free(),
    )


def _counted(metric: Metric) -> cost.Metric:
    """The cost that a target of a metric bounds."""
    match metric:
        case "macs" | "params":
            return metric
        case "sparsity":
            return "params"
        case _:
            raise InternalError(f"nothing counts the metric `{metric}`")


def _budget(target: Target, costs: Costs, modules: Modules) -> Budget:
    scope = None if target.selector is None else frozenset(select(target.selector, modules))
    metric = _counted(target.metric)
    return Budget(
        metric=metric,
        bound=target.bound(costs.total(metric, scope=scope)),
        text=str(target),
        scope=scope,
        where=None if target.selector is None else text(target.selector),
        span=target.span,
    )
