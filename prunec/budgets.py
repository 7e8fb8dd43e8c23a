"""Budgets: the spec's targets and the selected groups, as the problem that the allocator solves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prunec.diagnostics import InternalError
from prunec.emit import footprint
from prunec.ir.axis import atoms
from prunec.ir.plan import Ranking
from prunec.passes import cost
from prunec.passes.allocate import Budget, Problem
from prunec.passes.cost import Costs, Stored
from prunec.selection import Selection
from prunec.spec import Metric, Spec, Target, select, text
from prunec.spec.suggest import Modules
from prunec.understand import Understood


def problem(
    spec: Spec, model: Understood, chosen: Selection, rankings: Mapping[str, Ranking]
) -> Problem:
    """What the allocator is asked. Shares of a target are of what the dense model costs."""
    held = {g.name for g in chosen.frozen}
    asked = [g for g in chosen.claimed if g.branches or g.name not in held]
    costs = cost.run(model.traced.graph, model.axes, asked, _stored(model, chosen))
    blocks = tuple(g for g in asked if g.branches)
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


def unranked(chosen: Selection) -> dict[str, Ranking]:
    """Rankings that say nothing, where it is not asked which channels go."""
    return {g.name: Ranking(np.arange(g.size), np.zeros(g.size + 1)) for g in chosen.groups}


def _counted(metric: Metric) -> cost.Metric:
    """The cost that a target of a metric bounds."""
    match metric:
        case "sparsity":
            return "params"
        case "latency":
            raise InternalError(f"nothing counts the metric `{metric}`")
        case _:
            return metric


def _stored(model: Understood, chosen: Selection) -> Stored:
    """What the weights file will hold."""
    graph, selected = model.traced.graph, {g.atom.id for g in chosen.groups}
    varying = [
        name
        for name, dims in model.axes.weights.items()
        if any(atom.id in selected for axis in dims for atom in atoms(axis))
    ]
    names = footprint.names(graph, model.traced.weights, varying)
    return Stored(names, footprint.header(graph, names))


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
