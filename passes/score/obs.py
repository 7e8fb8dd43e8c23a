"""Structured OBS: what the readers of a channel lose when it goes and their other weights are
re-fitted.

1. Every linear map that reads a group gives its input moments and its weight to the one eliminator
   (`passes.obs`); an error at one of its outputs weighs the mean squared gradient there of the
   model's (randomly projected) output. That orders the channels, and gives a first loss.
2. That loss takes errors at different positions for independent, which they are not: in front of a
   global average pooling it is 40 times too small. So the true second-order loss of the re-fitted
   change is measured at a few lengths of the order, and the curve is scaled to go through these.

Losses are half the expected squared change of the model's output per sample. No labels are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from prunec.ir.axis import members
from prunec.ir.group import Group, Place
from prunec.ir.plan import Ranking
from prunec.passes.execute import wide
from prunec.passes.obs import Elimination, Reader, eliminate
from prunec.passes.score import taylor
from prunec.passes.score.context import Context, consumers, ranked
from prunec.passes.score.objective import projection
from prunec.passes.score.sense import Change, Removal, Sensed, absorbs, measure, samples, sense

MEASURED = (0.25, 0.5, 0.75, 1.0)
"""Shares of a group's channels at whose removal the true loss is measured."""
DRAWS = 32
"""Random projections, at least, behind the score of a group that no linear map reads."""


def run(context: Context, damping: float) -> dict[str, Ranking]:
    """Rank channels by structured OBS, with ``damping`` relative to the mean diagonal of the
    moments.

    A group that something other than linear maps with weights reads (attention contracts the head
    size that queries and keys share; a recurrent cell reads its own state) is ranked by the squared
    first-order change of the output when a channel's gate closes: the same units, with nothing
    re-fitted.
    """
    sensed = sense(
        context, frozenset(p.weight for g in context.groups for p in consumers(context, g))
    )
    nodes: dict[str, set[str]] = {}
    for node in context.graph.nodes:
        for ref in node.weight_refs():
            nodes.setdefault(ref.name, set()).add(node.name)
    read = [g for g in context.groups if _linear(context, g, sensed, nodes)]
    rough: dict[str, Ranking] = {}
    changes: list[Change] = []
    for group in read:
        uses = list(_uses(context, group, sensed))
        readers = [_reader(context, group, place, one) for place, one in uses]
        found = eliminate(readers, group.size, damping, _counts(group.size))
        rough[group.name] = found.ranking
        changes += _changes(context, group, [one for _, one in uses], found)
    true = measure(context, changes)
    rankings = {name: _through(ranking, name, true) for name, ranking in rough.items()}
    unread = tuple(g for g in context.groups if g.name not in rankings)
    return rankings | (_by_gates(replace(context, groups=unread)) if unread else {})


def _linear(
    context: Context,
    group: Group,
    sensed: Mapping[str, tuple[Sensed, ...]],
    nodes: Mapping[str, set[str]],
) -> bool:
    """Whether linear maps, and nothing else, contract over the group; ``nodes`` read a weight."""
    places = consumers(context, group)
    uses = {node for p in places for node in nodes[p.weight]}
    known = {one.map.node for p in places for one in sensed.get(p.weight, ())}
    return bool(places) and uses == known


def _uses(
    context: Context, group: Group, sensed: Mapping[str, tuple[Sensed, ...]]
) -> Iterator[tuple[Place, Sensed]]:
    """Every linear map that reads the group, with the place where its weight does so."""
    for place in consumers(context, group):
        for one in sensed[place.weight]:
            yield place, one


def _reader(context: Context, group: Group, place: Place, one: Sensed) -> Reader:
    """One linear map as the eliminator takes it, errors weighed by their effect on the output."""
    moments = one.moments.centred() if absorbs(context.graph, one.map) else one.moments
    weight = wide(context.weights[place.weight].detach())
    matrix = one.map.matrix(weight)
    taps = matrix.shape[2] // weight.shape[place.dim]
    channels = torch.from_numpy(members(place.axis, group.atom))
    columns = (channels[:, :, None] * taps + torch.arange(taps)).reshape(group.size, -1)
    return Reader(moments.xx / samples(context), matrix * one.rows()[:, :, None], columns)


def _changes(
    context: Context, group: Group, readers: Sequence[Sensed], found: Elimination
) -> Iterator[Change]:
    """What removing channels, and re-fitting the others, does to every reader."""
    for count, refitted in found.weights.items():
        for one, matrix in zip(readers, refitted, strict=True):
            weight = wide(context.weights[one.map.weight].detach())
            rows = one.rows()[:, :, None]
            change = torch.where(rows > 0, matrix / rows, 0) - one.map.matrix(weight)
            change = torch.where(rows > 0, change, 0)
            shift = None
            if absorbs(context.graph, one.map):
                shift = torch.einsum("god,gd->go", change, one.moments.x / one.moments.n)
            yield Change((group.name, count), one.map, one.map.weight_like(change, weight), shift)


def _counts(size: int) -> tuple[int, ...]:
    """How many channels are removed where the true loss is measured."""
    return tuple(sorted({max(1, round(size * share)) for share in MEASURED}))


def _through(ranking: Ranking, name: str, true: Mapping[Removal, float]) -> Ranking:
    """The ranking, its loss scaled to go through the measured points, and still never falling."""
    points = sorted((count, loss) for (group, count), loss in true.items() if group == name)
    ratios = [loss / ranking.loss[k] if ranking.loss[k] > 0 else 1.0 for k, loss in points]
    scale = np.interp(np.arange(len(ranking.loss)), [k for k, _ in points], ratios)
    return Ranking(ranking.order, np.maximum.accumulate(ranking.loss * scale))


def _by_gates(context: Context) -> dict[str, Ranking]:
    """Half the expected squared derivative of the output along each gate, losses adding up."""
    generator = torch.Generator().manual_seed(2)
    total: dict[str, NDArray[np.float64]] = {g.name: np.zeros(g.size) for g in context.groups}
    draws = -(-DRAWS // len(context.batches))
    for batch in context.batches:
        for _ in range(draws):
            found = taylor.gates(context, batch, lambda out, _: projection(out, generator))
            for name, gradient in found.items():
                total[name] += 0.5 * gradient**2
    count = draws * samples(context)
    return {name: ranked(scores / count) for name, scores in total.items()}
