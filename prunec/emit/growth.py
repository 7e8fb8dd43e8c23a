"""Growth: a module that calls all its children in turn, each with all results so far."""

from __future__ import annotations

from dataclasses import dataclass

from prunec.emit import loops, rows
from prunec.emit.hierarchy import Kind
from prunec.emit.steps import CHILDREN, Append, Model, Run, output_of
from prunec.emit.tree import Region
from prunec.ir.graph import Ref


@dataclass(frozen=True, eq=False)
class Growth:
    """The calls: the first one's number, and the list before the first and after the last."""

    start: int
    before: tuple[Ref, ...]
    after: tuple[Ref, ...]

    @property
    def length(self) -> int:
        """How many calls they are."""
        return len(self.after) - len(self.before)


def find(model: Model, region: Region) -> Growth | None:
    """The calls of all children of a region's own class that its forward writes as such a loop."""
    path = region.path
    own = path and model.hierarchy.kind(path) is Kind.CLASS and loops.is_series(model, path)
    if not own or not all(isinstance(i, Region) for i in region.items[:1]):
        return None
    whole = Run(path, CHILDREN)
    for step in rows.run(model, region, output_of(model.boundaries(region))):
        act = step.act
        if isinstance(act, Append) and act.members == whole:
            start = next(n for n, i in enumerate(region.items) if i is act.region)
            return Growth(start, act.before, (*act.before, *map(Ref, step.results)))
    return None
