"""A front: what plans lose at many bounds on one cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunec.diagnostics import Diagnostic
from prunec.ir.plan import Plan
from prunec.report.data import cost_dict

VERSION = 1


@dataclass(frozen=True)
class Step:
    """One bound: the target as it is written, its ``bound`` on the cost, and the plan with what it
    costs, or why there is none.
    """

    target: str
    bound: int
    plan: Plan | None = None
    cost: int = 0
    faults: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Front:
    """The steps of a sweep over a metric; ``dense`` is its cost in the dense model. ``sizes`` are
    the channels of every group that may lose some.
    """

    metric: str
    scope: str | None
    dense: int
    solver: Mapping[str, Any]
    inputs: Mapping[str, str | None]
    sizes: Mapping[str, int]
    steps: tuple[Step, ...]

    def kept(self, plan: Plan) -> dict[str, int]:
        """The width of every group that may lose channels."""
        return {name: len(plan.keep.get(name, range(size))) for name, size in self.sizes.items()}

    def as_dict(self) -> dict[str, Any]:
        """The front as plain JSON values, keys stable between versions."""
        return {
            "tool": "prunec",
            "front_version": VERSION,
            "metric": self.metric,
            "scope": self.scope,
            "dense": self.dense,
            "solver": dict(self.solver),
            "inputs": dict(self.inputs),
            "sizes": dict(self.sizes),
            "steps": [self._step(step) for step in self.steps],
        }

    def _step(self, step: Step) -> dict[str, Any]:
        plan = step.plan
        found: dict[str, Any] = {"target": step.target, "bound": step.bound, "met": bool(plan)}
        if plan is None:
            return found | {"diagnostics": [d.as_dict() for d in step.faults]}
        return found | {
            "cost": step.cost,
            "costs": [cost_dict(c) for c in plan.costs],
            "objective": plan.objective,
            "least": plan.bound,
            "gap": plan.gap,
            "widths": self.kept(plan),
        }
