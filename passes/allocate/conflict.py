"""Why a target cannot be met: the fewest of the user's own lines that conflict.

Costs never fall when a width grows (of a latency take the fastest widths for the smallest). So
lines can be obeyed together exactly if the smallest widths
that they allow meet every target; and as these widths are smallest for all targets at once, a
minimal conflict holds one target. The other lines of it are found by a deletion filter (Chinneck
and Dravnieks, Locating minimal infeasible constraint sets in linear programs, 1991): each line is
left out in turn, for good if the rest still conflicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from prunec.diagnostics import Span

Widths: TypeAlias = Mapping[str, tuple[int, ...]]
"""Ascending widths by group, the full width last."""


@dataclass(frozen=True)
class Limit:
    """A line of the user's that forbids widths: ``widths`` are those that it leaves to the groups
    that it is about; ``text`` is how it is written.
    """

    text: str
    widths: Widths
    span: Span | None = None

    @cached_property
    def sets(self) -> Mapping[str, frozenset[int]]:
        return {name: frozenset(found) for name, found in self.widths.items()}


def run(limits: Sequence[Limit], beyond: Callable[[Sequence[Limit]], bool]) -> list[list[Limit]]:
    """The minimal conflicts, no line in two of them; ``beyond`` says whether lines leave too much.

    Of every conflict no line can go: without it ``beyond`` does not hold. Lines that stand first
    are kept rather than later ones. Empty if all lines together leave little enough; one conflict
    without a line if no line is to blame.
    """
    left, found = list(limits), []
    while beyond(left):
        kept = list(left)
        for limit in reversed(left):
            without = [other for other in kept if other is not limit]
            kept = without if beyond(without) else kept
        found.append(kept)
        if not kept:
            break
        left = [limit for limit in left if limit not in kept]
    return found


def least(free: Widths, limits: Sequence[Limit]) -> dict[str, int]:
    """The smallest width of every group that its ``free`` ones and all limits leave."""
    return {name: next(_left(name, widths, limits)) for name, widths in free.items()}


def left(free: Widths, limits: Sequence[Limit]) -> dict[str, tuple[int, ...]]:
    """All widths of every group that its ``free`` ones and all limits leave, ascending."""
    return {name: tuple(_left(name, widths, limits)) for name, widths in free.items()}


def _left(name: str, widths: tuple[int, ...], limits: Sequence[Limit]) -> Iterator[int]:
    own = [limit for limit in limits if name in limit.widths]
    lists = [widths, *(limit.widths[name] for limit in own)]
    highest = max(lists, key=lambda found: found[0])
    for width in highest:
        if width >= widths[0] and all(width in limit.sets[name] for limit in own):
            yield width
