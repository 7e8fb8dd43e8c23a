"""Budgets: the spec's targets and the selected groups, as the problem that the allocator solves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from prunec.devices import Devices
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
    spec: Spec,
    model: Understood,
    chosen: Selection,
    rankings: Mapping[str, Ranking],
    devices: Devices,
) -> Problem:
    """What the allocator is asked. Shares of a target are of what the dense model costs, or is
    predicted to take.
    """
    held = {g.name for g in chosen.frozen}
    asked = [g for g in chosen.claimed if g.branches or g.name not in held]
    costs = cost.run(model.traced.graph, model.axes, asked, _stored(model))
    blocks = tuple(g for g in asked if g.branches)
    modules = tuple((m.path, m.cls) for m in model.traced.graph.modules)
    budgets = tuple(_budget(target, costs, devices, modules) for target in spec.targets)
    liked = _liked(chosen, devices)
    return Problem(
        (*model.groups, *blocks),
        rankings,
        costs,
        budgets,
        chosen.widths(liked),
        limits=chosen.limits(liked),
        free=chosen.free(),
        timed=devices.timed,
    )


def _liked(chosen: Selection, devices: Devices) -> dict[str, tuple[int, ...]]:
    """The widths that the devices like, for the groups of rules that leave them to those, frozen
    ones included.
    """
    auto = [rule for rule in chosen.claims if rule.prune.multiple_of == "auto"]
    return devices.good_widths([g for rule in auto for g in rule.groups]) if auto else {}


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


def _stored(model: Understood) -> Stored:
    """What the weights file will hold, whatever is removed."""
    graph, free = model.traced.graph, {g.atom.id for g in model.groups}
    varying = [
        name
        for name, dims in model.axes.weights.items()
        if any(atom.id in free for axis in dims for atom in atoms(axis))
    ]
    names = footprint.names(graph, model.traced.weights, varying)
    return Stored(names, footprint.header(graph, names))


def _budget(target: Target, costs: Costs, devices: Devices, modules: Modules) -> Budget:
    scope = None if target.selector is None else frozenset(select(target.selector, modules))
    device = None if target.device is None else str(target.device)
    metric: cost.Metric | Literal["latency"]
    if device is None:
        metric = _counted(target.metric)
        dense = costs.total(metric, scope=scope)
    else:
        metric, dense = "latency", devices.timed[device].total(scope=scope)
    return Budget(
        metric=metric,
        bound=target.bound(dense),
        text=str(target),
        scope=scope,
        where=None if target.selector is None else text(target.selector),
        span=target.span,
        device=device,
    )
