"""Measured damage: what a plan does to the model's output, on calibration data and without labels.

The model is really shrunk to the plan's widths, keeping the channels that the rankings keep, its
batch norms are re-estimated as `repair.batchnorm` does, and its output is compared with the dense
model's. Nothing else is repaired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property

from prunec import cache as caches
from prunec.cache import Cache
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph
from prunec.ir.plan import Plan, Ranking
from prunec.passes import repair, shrink
from prunec.passes.damage.divergence import divergence, ends_in_scores
from prunec.passes.damage.replay import Replay, record
from prunec.passes.execute import Steps, Value
from prunec.passes.repair.walk import Walk
from prunec.passes.score.context import Context
from prunec.spec import BatchNorm


class Damage:
    """``damage(widths)``: the calibration loss of the model at some widths, by the name of the
    group; a group that is not named is whole.

    0 is the dense model; a plan whose output is not finite has an infinite loss. Deterministic; a
    plan is measured once. ``context`` is the dense model with its groups and calibration batches.
    Figures are kept in ``cache`` under keys that depend on ``inputs``, the hash of the model and
    the batches. ``measured`` counts the plans that were, ``remembered`` those that the cache knew.

    Raises:
        PruneError: P0613 if the dense model's own output is not finite.
    """

    def __init__(
        self,
        context: Context,
        rankings: Mapping[str, Ranking],
        *,
        cache: Cache | None = None,
        inputs: str = "",
        stage: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.context = context
        self.measured = 0
        self.remembered = 0
        self._rankings = rankings
        self._sizes = {g.name: g.size for g in context.groups}
        self._cache, self._inputs, self._stage = cache or Cache(), inputs, stage
        self._known: dict[str, float] = {}
        self._asked: set[str] = set()
        self._scores = ends_in_scores(context.graph)

    def __call__(self, widths: Mapping[str, int]) -> float:
        keep = {
            name: self._rankings[name].keep(width)
            for name, width in sorted(widths.items())
            if width < self._sizes[name]
        }
        if not keep:
            return 0.0
        key = caches.key("damage", self._inputs, *(f"{name} {k}" for name, k in keep.items()))
        self._asked.add(key)
        if key not in self._known:
            self._known[key] = self._recall(key, keep)
        return self._known[key]

    @property
    def tried(self) -> int:
        """How many plans this solve has asked for, the dense one aside."""
        return len(self._asked)

    def sensitivity(self, group: str, width: int) -> float:
        """The calibration loss when one group alone has this width."""
        return self({group: width})

    def forget(self) -> None:
        """End a solve: let go of the dense model's values, which the next one computes again."""
        self.__dict__.pop("_dense", None)
        self._asked.clear()

    def _recall(self, key: str, keep: Mapping[str, tuple[int, ...]]) -> float:
        """From the cache, or measured and kept there."""
        found = self._cache.number(key)
        if found is not None:
            self.remembered += 1
            return found
        self.measured += 1
        self._stage(f"measuring plan {self.measured}")
        found = self._measure(keep)
        self._cache.keep_number(key, found)
        return found

    @cached_property
    def _dense(self) -> dict[str, list[Value]] | None:
        """The dense model's values, computed once where they are not too many."""
        return record(self.context.graph, self.context.weights, self.context.batches)

    def _measure(self, keep: Mapping[str, tuple[int, ...]]) -> float:
        graph, weights, axes = self.context.graph, self.context.weights, self.context.axes
        batches = self.context.batches
        shrunk = shrink.run(graph, weights, axes, self.context.groups, Plan(keep))
        held = self._dense
        replay = None if held is None else Replay(graph, held)
        walk = Walk(graph, weights, shrunk, batches, replay)
        repair.through((BatchNorm(),), walk)
        dense = _outputs(walk.dense, graph, len(batches))
        slim = _outputs(walk.slim, shrunk.graph, len(batches))
        found = divergence(dense, slim, batches, self._scores)
        if math.isfinite(found):
            return max(found, 0.0)
        if not math.isfinite(divergence(dense, dense, batches, self._scores)):
            raise PruneError(_not_finite())
        return math.inf


def _outputs(tape: Steps, graph: Graph, batches: int) -> list[list[Value]]:
    """What a model returns, by batch."""
    return [[tape.values[ref.name][k] for ref in graph.outputs] for k in range(batches)]


def _not_finite() -> Diagnostic:
    return Diagnostic(
        "P0613",
        "the solver measures how far the output moves, and the model's own output on the "
        "calibration data is not finite",
        help="calibrate on data that the model can answer, or choose a solver that measures "
        "nothing, such as `dp`",
    )
