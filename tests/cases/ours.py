"""What prunec makes of a case."""

from __future__ import annotations

from dataclasses import dataclass

import prunec
from prunec.report.analysis import Analysis
from tests.cases.case import Case, Place

# Every group must lose channels, so that the group of the case is among them: `uniform` asks the
# same of all.
SPEC = """
target params <= 60%
prune channels { score random(seed=0) }
solve uniform
repair none
"""


@dataclass(frozen=True)
class Ours:
    """A proved compile: the share of parameters removed, and the groups that lost channels."""

    removed: float
    shrunk: frozenset[str]
    analysis: Analysis

    def group_of(self, places: tuple[Place, ...]) -> str | None:
        """A group that lost channels at all of these places."""
        for group in self.analysis.groups:
            found = {(p.weight, p.dim) for p in group.places}
            if group.name in self.shrunk and found.issuperset(places):
                return group.name
        return None

    def reasons(self, place: Place) -> tuple[str, ...]:
        """Why a dimension of a weight is frozen."""
        frozen = self.analysis.frozen
        return tuple(f.because.reason for f in frozen if (f.weight, f.dim) == place)


def run(case: Case) -> Ours:
    """Compile and prove a case.

    Raises:
        PruneError: it is refused, or it is not equal to its masked twin.
    """
    module = case.module()
    analysis = prunec.analyze(module, args=case.args, kwargs=case.kwargs)
    made = prunec.compile(SPEC, model=module, args=case.args, kwargs=case.kwargs)
    assert made.report.passed
    shrunk = frozenset(w.group for w in made.report.widths if w.kept < w.size)
    before = sum(p.numel() for p in module.parameters())
    after = sum(p.numel() for p in made.module.parameters())
    return Ours(1 - after / before, shrunk, analysis)
