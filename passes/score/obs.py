"""Structured OBS: what the readers of a channel lose when it goes and their other weights are re-fitted.

Every linear map that reads a group gives its input moments and its weight to the one eliminator (`passes.obs`). Errors of
different maps are made comparable by the Fisher information: an error e_o at output channel o of a map raises the
model's loss by about 1/2 E[g_o^2] e_o^2, g the gradient of the log-likelihood of labels drawn from the model's own
prediction. So losses are in nats per sample, and no labels are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.ir.axis import members
from prunec.ir.graph import Graph, Node, Ref
from prunec.ir.group import Group, Place
from prunec.ir.plan import Ranking
from prunec.passes.batches import Batch
from prunec.passes.execute import Value, wide
from prunec.passes.execute import run as execute
from prunec.passes.moments import Linear_, Moments, accumulate, linear
from prunec.passes.obs import Reader, eliminate
from prunec.passes.score.context import Context, consumers, producers, ranked
from prunec.passes.score.objective import sampled_loss


@dataclass(slots=True, eq=False)
class Sensed:
    """What calibration tells about one linear map: input moments, and sums of g^2 per output channel ``[G, o]``."""

    map: Linear_
    moments: Moments | None = None
    fisher: Tensor | None = None

    def rows(self) -> Tensor:
        """Root of E[g^2] per output channel, per position: what an error there weighs."""
        assert self.moments is not None
        if self.fisher is None:
            return torch.zeros(self.moments.x.shape[0], 1, dtype=torch.float64)
        return (self.fisher / self.moments.n).sqrt()


def run(context: Context, damping: float = 1e-2) -> dict[str, Ranking]:
    """Rank channels by structured OBS; losses are estimated increases of the model's loss in nats per sample.

    A group that no linear map reads (the head size that queries and keys share) is ranked by the loss of zeroing
    each channel where it is made, 1/2 E[g^2] E[y^2] at its producers: the same units, with nothing re-fitted.
    """
    samples = sum(b.size for b in context.batches)
    sensed = sense(context)
    found = {}
    for group in context.groups:
        readers = [
            _reader(context, group, place, one, samples)
            for place in consumers(context, group)
            for one in sensed.get(place.weight, ())
        ]
        if readers:
            found[group.name] = eliminate(readers, group.size, damping)
        else:
            found[group.name] = ranked(_unread(context, group, sensed, samples))
    return found


def sense(context: Context) -> dict[str, list[Sensed]]:
    """Moments and Fisher information of every linear map whose weight belongs to a group, by weight name."""
    wanted = {p.weight for g in context.groups for p in g.places}
    maps = (linear(context.graph, node) for node in context.graph.nodes)
    sensed = {m.node: Sensed(m) for m in maps if m is not None and m.weight in wanted}
    generator = torch.Generator().manual_seed(0)
    for batch in context.batches:
        _sense(context, batch, sensed, generator)
    by_weight: dict[str, list[Sensed]] = {}
    for one in sensed.values():
        by_weight.setdefault(one.map.weight, []).append(one)
    return by_weight


def _sense(
    context: Context, batch: Batch, sensed: Mapping[str, Sensed], generator: torch.Generator
) -> None:
    """Add one batch to what is known of every map."""
    outputs: dict[str, Tensor] = {}

    def observe(node: Node, args: tuple[Value, ...], value: Value) -> None:
        one = sensed.get(node.name)
        if one is not None:
            part = accumulate(one.map, args[node.args.index(Ref(one.map.x))].detach())
            one.moments = part if one.moments is None else one.moments + part
            outputs[node.name] = value

    results = execute(context.graph, _live(context), batch.inputs, observe)
    score = sampled_loss(results, generator)
    gradients = torch.autograd.grad(score, list(outputs.values()), allow_unused=True)
    for name, gradient in zip(outputs, gradients, strict=True):
        if gradient is not None:
            one = sensed[name]
            part = one.map.outputs(gradient).double().square().sum(1)
            one.fisher = part if one.fisher is None else one.fisher + part


def _reader(context: Context, group: Group, place: Place, one: Sensed, samples: int) -> Reader:
    """One consumer as the eliminator takes it, in nats per sample."""
    assert one.moments is not None
    moments = one.moments.centred() if absorbs(context.graph, one.map) else one.moments
    weight = wide(context.weights[place.weight].detach())
    matrix = one.map.matrix(weight) * one.rows()[:, :, None]
    channels = torch.from_numpy(members(place.axis, group.atom))
    taps = matrix.shape[2] // weight.shape[place.dim]
    columns = (channels[:, :, None] * taps + torch.arange(taps)).reshape(group.size, -1)
    return Reader(moments.xx / samples, matrix, columns)


def absorbs(graph: Graph, map: Linear_) -> bool:
    """Whether something can take up a constant shift of the map's output: its bias, or a batch norm behind it."""
    users = graph.users[map.node]
    return map.bias is not None or (
        len(users) == 1 and "batch_norm" in users[0].op and users[0].args[0] == Ref(map.node)
    )


def _unread(
    context: Context, group: Group, sensed: Mapping[str, list[Sensed]], samples: int
) -> NDArray[np.float64]:
    """1/2 sum over producers of E[g^2] E[y^2], per channel: nothing is re-fitted."""
    total = np.zeros(group.size)
    for place in producers(context, group):
        for one in sensed.get(place.weight, ()):
            if place.dim == one.map.output_dim:
                index = torch.from_numpy(members(place.axis, group.atom))
                total += _energy(context, one)[index].sum(1).numpy() / (2 * samples)
    return total


def _energy(context: Context, one: Sensed) -> Tensor:
    """Summed square of each output channel of a map, weighted by its Fisher information ``[G * o]``."""
    assert one.moments is not None
    matrix = one.map.matrix(wide(context.weights[one.map.weight].detach()))
    energy = torch.einsum("god,gde,goe->go", matrix, one.moments.xx, matrix)
    if one.map.bias is not None:
        bias = context.weights[one.map.bias].detach().double().reshape(energy.shape)
        mean = torch.einsum("god,gd->go", matrix, one.moments.x)
        energy = energy + bias * (2 * mean + bias * one.moments.n)
    return (energy * one.rows().square()).reshape(-1)


def _live(context: Context) -> dict[str, Tensor]:
    """The weights, parameters as leaves that gradients flow through."""
    names = {w.name for w in context.graph.weights if w.kind == "parameter"}
    return {
        n: wide(w.detach()).requires_grad_() if n in names and w.is_floating_point() else w
        for n, w in context.weights.items()
    }
