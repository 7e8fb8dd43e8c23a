"""One case: a network, a random plan, the whole road, and what came of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from prunec import emit, trace
from prunec.check import Removed, state, twin
from prunec.diagnostics import PruneError
from prunec.ir.axis import atoms
from prunec.ir.group import Axes, Group
from prunec.ir.plan import Plan
from prunec.passes import axes, group, shrink
from tests.properties.networks import Recipe

UNCHECKED = frozenset({"P0803", "P0806"})
"""What the twin says where it cannot compare: no verdict, but no wrong model either."""


@dataclass(frozen=True)
class Outcome:
    """``verdict`` is equal, refused or wrong; ``free`` the share of the atoms in the dimensions of
    weights that may lose channels, ``frozen`` why the others may not.
    """

    verdict: str
    reason: str = ""
    free: float = 0.0
    frozen: Mapping[str, int] = field(default_factory=dict)


def run(recipe: Recipe, seed: int, keep: float, *, fixed: bool = False) -> Outcome:
    """Compile and prove; what any pass raises counts as wrong, a model that cannot be traced does
    not. ``fixed`` traces all sizes as they are, which is four times faster.
    """
    module, example = recipe.build()
    try:
        traced = trace.run(module, example, dynamic={} if fixed else None)
    except PruneError as fault:
        return Outcome("refused", f"trace: {fault.diagnostics[0].message}")
    try:
        solved = axes.run(traced.graph)
        share, frozen = _free(solved)
        groups = group.run(traced.graph, solved)
        shrunk = shrink.run(traced.graph, traced.weights, solved, groups, plan(groups, keep, seed))
        slim = emitted(shrunk)
        removed = Removed(shrunk.values, shrunk.kept)
        found = twin.run(
            traced.graph, traced.weights, removed, slim, example, batches=(1, 3), seed=seed
        )
        smaller = state.parameters(traced.graph, removed)
    except Exception as fault:
        return Outcome("wrong", f"{type(fault).__name__}: {fault}")
    if not found.equal:
        codes = {d.code for d in found.diagnostics}
        verdict = "refused" if codes and codes <= UNCHECKED else "wrong"
        return Outcome(verdict, "\n".join(map(str, found.diagnostics)), share, frozen)
    if smaller != sum(p.numel() for p in slim.parameters()):
        return Outcome("wrong", "other parameters than predicted", share, frozen)
    return Outcome("equal", "", share, frozen)


def plan(groups: tuple[Group, ...], keep: float, seed: int) -> Plan:
    """A random share of most groups; of those that something mixes, two channels stay: one has no
    variance.
    """
    drawn = random.Random(seed)
    kept = {}
    for each in groups:
        if drawn.random() < 0.2:
            continue
        least = each.least
        width = max(least, int(each.size * keep))
        kept[each.name] = tuple(sorted(drawn.sample(range(each.size), width)))
    return Plan(kept)


def emitted(shrunk: shrink.Shrunk) -> nn.Module:
    source = emit.run(shrunk.graph, class_name="Slim", header="a case", weights=shrunk.weights)
    return emit.load(source, shrunk.weights, "Slim")


def _free(solved: Axes) -> tuple[float, Counter[str]]:
    found = [a for dims in solved.weights.values() for axis in dims for a in atoms(axis)]
    frozen = Counter(solved.frozen[a.id].reason for a in found if a.id in solved.frozen)
    return 1 - frozen.total() / max(len(found), 1), frozen
