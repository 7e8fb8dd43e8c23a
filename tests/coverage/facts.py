"""What the analysis of a model says: operators without equations, parameters within reach."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any
from unittest import mock

import numpy as np

from prunec import understand
from prunec.check import twin
from prunec.ir.axis import Axis, Mask, atoms, mask
from prunec.ir.graph import Weight
from prunec.prepare import Stage, Subject
from prunec.understand import Understood

MOST = 12
"""Reasons that a record lists."""


@dataclass
class Watch:
    """What is seen of a compile while it runs. A model is understood once, however often it is
    compiled. Of the comparisons with the masked twin, the last counts.
    """

    understood: Understood | None = None
    compared: twin.Result | None = None


@contextmanager
def watching() -> Iterator[Watch]:
    """Keep what is understood of the model, and how its twin compares."""
    seen = Watch()
    analyse, compare = understand.run, twin.run

    def once(subject: Subject, stage: Stage, **settings: bool) -> Understood:
        if seen.understood is None:
            seen.understood = analyse(subject, stage, **settings)
        return seen.understood

    def kept(*args: Any, **settings: Any) -> twin.Result:
        seen.compared = compare(*args, **settings)
        return seen.compared

    with mock.patch.object(understand, "run", once), mock.patch.object(twin, "run", kept):
        yield seen


def modes(found: twin.Result) -> dict[str, int]:
    """How many cases were compared in each mode."""
    return dict(Counter(case.name.partition(",")[0] for case in found.cases))


def refusals(model: Understood) -> list[dict[str, Any]]:
    """The operators that are not understood, the commonest first: op, reason, count, first line."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for node in model.axes.unknown:
        row = {"op": node.op, "reason": node.reason, "line": node.line or node.node, "count": 0}
        found.setdefault((node.op, node.reason), row)["count"] += 1
    return sorted(found.values(), key=lambda row: -row["count"])


def reach(model: Understood) -> tuple[int, float, list[dict[str, Any]]]:
    """Parameter elements, the share of them that some group can remove, and what holds the rest.

    An element is within reach if an index of one of its dimensions belongs to a group that may get
    smaller. What is held is listed by the reasons of the weight's frozen dimensions.
    """
    gone = {g.atom.id: np.zeros(g.size, dtype=bool) for g in model.groups if g.size > g.least}
    total = held = 0
    reasons: Counter[str] = Counter()
    where: dict[str, str] = {}
    for weight in model.traced.graph.weights:
        if weight.kind != "parameter":
            continue
        dims = model.axes.weights[weight.name]
        size, stays = prod(weight.type.shape), prod(_staying(a, gone) for a in dims)
        total, held = total + size, held + stays
        if stays:
            reason = _why(model, weight)
            reasons[reason] += stays
            where.setdefault(reason, weight.name)
    rows = [
        {"reason": reason, "share": count / max(total, 1), "weight": where[reason]}
        for reason, count in reasons.most_common(MOST)
    ]
    return total, 1 - held / max(total, 1), rows


def _staying(axis: Axis, gone: dict[int, Mask]) -> int:
    """How many indices of an axis no group can remove."""
    return int(np.count_nonzero(mask(axis, gone)))


def _why(model: Understood, weight: Weight) -> str:
    """The reasons of the frozen dimensions of a weight, in their order."""
    found: defaultdict[str, None] = defaultdict(None)
    for axis in model.axes.weights[weight.name]:
        for atom in atoms(axis):
            why = model.axes.frozen.get(atom.id)
            if why is not None and atom.size > 1:
                found[f"{why.reason}{f' at {why.line}' if why.line else ''}"] = None
    return "; ".join(found) or "nothing of it has channels"
