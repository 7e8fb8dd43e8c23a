"""The report of a compile: what was removed, what it costs now, what was proved, what it does to
accuracy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from prunec.diagnostics import Diagnostic
from prunec.emit.census import Census
from prunec.ir.group import Kind
from prunec.ir.plan import Cost


@dataclass(frozen=True, slots=True)
class Width:
    """How many of a group's channels stay."""

    group: str
    kind: Kind
    size: int
    kept: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One proof: what was shown, whether it holds, and the figures."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The share of right answers on the evaluation data, before and after, over so many answers."""

    dense: float
    slim: float
    count: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """How good a plan is: its loss, what none can lose less than, and the gap, as a share.

    ``bound`` and ``gap`` are None where nothing is known, ``seed`` where nothing is random.
    """

    objective: float
    bound: float | None
    gap: float | None
    seed: int | None
    seconds: float


DOUBT = 0.03
"""By how much a measurement is taken to be off at most, relative to it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A latency target, as predicted from the device profile and as measured; times are medians of
    one forward, in nanoseconds.

    ``bound`` is what the slim model may take as measured: a share is one of ``dense``, which was
    measured in turns with it. ``profiled_dense`` and ``profiled_slim`` are what the profile says;
    a machine is not as fast every day, so what is predicted of the slim model is its share. Where a
    plan was measured before this one, ``error`` is by how much more its share was than the
    profile's. ``noise`` is how far the measurements scatter, relative to their median; ``tries``
    how many plans were measured until this one held.
    """

    target: str
    device: str
    scope: str | None
    bound: int
    dense: int
    slim: int
    profiled_dense: int
    profiled_slim: int
    noise: float
    tries: int
    error: float = 1.0

    @property
    def sure(self) -> int:
        """What the slim model takes, and as much more as a measurement may be off: half of how far
        they scatter, never more than `DOUBT`.
        """
        return round(self.slim * (1 + min(self.noise / 2, DOUBT)))

    @property
    def holds(self) -> bool:
        return self.sure <= self.bound

    @property
    def predicted(self) -> int:
        """What the slim model was expected to take, given what the dense one takes."""
        share = self.profiled_slim / self.profiled_dense if self.profiled_dense else 0.0
        return round(share * self.error * self.dense)

    @property
    def share_error(self) -> float:
        """The slim model's share of the dense one's time as measured, over that of the profile."""
        whole = self.profiled_slim * self.dense
        return self.slim * self.profiled_dense / whole if whole else 1.0

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "target": self.target,
            "device": self.device,
            "scope": self.scope,
            "bound_ns": self.bound,
            "dense": _beside(self.profiled_dense, self.dense),
            "slim": {**_beside(self.predicted, self.slim), "profile_ns": self.profiled_slim},
            "noise": self.noise,
            "tries": self.tries,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Report:
    """All that a compile found out. ``print(report)`` shows it. ``source`` counts the emitted file,
    where there is one.
    """

    model: str
    frontend: str
    solver: str
    plan: Certificate
    costs: tuple[Cost, ...]
    widths: tuple[Width, ...]
    checks: tuple[Check, ...] = ()
    accuracy: Accuracy | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    source: Census | None = None
    timings: tuple[Timing, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every budget and every proof holds."""
        budgets = (*(c.holds for c in self.costs), *(t.holds for t in self.timings))
        return all(budgets) and all(c.passed for c in self.checks)

    def as_dict(self) -> dict[str, object]:
        """The report as plain JSON values, keys stable between versions."""
        return {
            "model": self.model,
            "frontend": self.frontend,
            "solver": self.solver,
            "plan": asdict(self.plan),
            "costs": [cost_dict(c) for c in self.costs],
            "groups": [
                {"name": w.group, "kind": w.kind, "size": w.size, "kept": w.kept, "exact": w.exact}
                for w in self.widths
            ],
            "checks": [
                {"name": c.name, "passed": c.passed, "detail": c.detail} for c in self.checks
            ],
            "accuracy": None
            if self.accuracy is None
            else {
                "dense": self.accuracy.dense,
                "slim": self.accuracy.slim,
                "count": self.accuracy.count,
            },
            "source": None if self.source is None else self.source.as_dict(),
            "latency": [t.as_dict() for t in self.timings],
            "passed": self.passed,
        }

    def __str__(self) -> str:
        from prunec.report import tables

        return tables.text(*tables.report(self))


def _beside(predicted: int, measured: int) -> dict[str, object]:
    found = ratio(predicted, measured)
    return {"predicted_ns": predicted, "measured_ns": measured, "ratio": found}


def ratio(predicted: int, measured: int) -> float | None:
    """Predicted over measured; None where there is nothing to measure."""
    return predicted / measured if measured else None


def cost_dict(cost: Cost) -> dict[str, object]:
    """A cost as plain JSON values."""
    return {
        "metric": cost.metric,
        "scope": cost.scope,
        "dense": cost.dense,
        "slim": cost.slim,
        "bound": cost.bound,
        "holds": cost.holds,
    }
