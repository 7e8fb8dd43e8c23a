"""What calibration tells about linear maps: what they read, and how much their errors matter."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from prunec.ir.axis import Product
from prunec.ir.graph import Graph, Node, Ref, WeightRef
from prunec.passes.batches import Batch
from prunec.passes.execute import Value, lookup, wide
from prunec.passes.execute import run as execute
from prunec.passes.moments import Linear_, Moments, accumulate, linear
from prunec.passes.score.context import Context
from prunec.passes.score.objective import projection

Removal: TypeAlias = tuple[str, int]
"""A group, by name, and how many of its channels go."""


@dataclass(frozen=True, slots=True, eq=False)
class Sensed:
    """One linear map: moments of its input, and sums of the squared gradient per output channel
    ``[G, o]``.
    """

    map: Linear_
    moments: Moments
    gradient: Tensor

    def rows(self) -> Tensor:
        """Root mean squared gradient per output channel and position: what an error there weighs
        ``[G, o]``.
        """
        return (self.gradient / self.moments.n).sqrt()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a removal does to one map: a change of its weight, and of its output by ``-shift`` per
    channel.
    """

    removal: Removal
    map: Linear_
    weight: Tensor
    shift: Tensor | None


def sense(context: Context, weights: frozenset[str]) -> dict[str, tuple[Sensed, ...]]:
    """Moments and gradients of every linear map that uses one of the weights, by weight."""
    maps = (linear(context.graph, node) for node in context.graph.nodes)
    wanted = {m.node: m for m in maps if m is not None and m.weight in weights}
    found: dict[str, Sensed] = {}
    generator = torch.Generator().manual_seed(0)
    for batch in context.batches:
        for node, args, gradient in _backward(context, batch, wanted, generator):
            map = wanted[node.name]
            moments = accumulate(map, args[node.args.index(Ref(map.x))])
            squares = map.outputs(gradient).double().square().sum(1)
            if (before := found.get(node.name)) is not None:
                moments, squares = before.moments + moments, before.gradient + squares
            found[node.name] = Sensed(map, moments, squares)
    by_weight: dict[str, tuple[Sensed, ...]] = {}
    for one in found.values():
        by_weight[one.map.weight] = (*by_weight.get(one.map.weight, ()), one)
    return by_weight


def measure(context: Context, changes: Sequence[Change]) -> dict[Removal, float]:
    """Half the expected squared change of the model's output per sample, to second order, for each
    removal.

    Per sample a removal's effect is summed over positions, output channels and maps before it is
    squared, so every correlation counts; one random projection of the output per sample estimates
    the expectation.
    """
    jobs: dict[str, list[Change]] = {}
    for change in changes:
        jobs.setdefault(change.map.node, []).append(change)
    total = dict.fromkeys((c.removal for c in changes), 0.0)
    generator = torch.Generator().manual_seed(1)
    for batch in context.batches:
        effects: dict[Removal, Tensor] = {}
        for node, args, gradient in _backward(context, batch, jobs, generator):
            for change in jobs[node.name]:
                change_of_output = _effect(node, args, change) * gradient
                effect = _per_sample(context, node, change_of_output, batch.size)
                before = effects.get(change.removal)
                effects[change.removal] = effect if before is None else _together(before, effect)
        for removal, effect in effects.items():
            total[removal] += 0.5 * float(effect.square().sum())
    return {removal: value / samples(context) for removal, value in total.items()}


def samples(context: Context) -> int:
    """Samples in all batches together."""
    return sum(batch.size for batch in context.batches)


def live(context: Context) -> dict[str, Tensor]:
    """The weights, parameters as leaves that gradients flow through."""
    names = {w.name for w in context.graph.weights if w.kind == "parameter"}
    return {
        n: wide(w.detach()).requires_grad_() if n in names and w.is_floating_point() else w
        for n, w in context.weights.items()
    }


def absorbs(graph: Graph, map: Linear_) -> bool:
    """Whether something can take up a constant shift of the map's output: its bias, or a batch norm
    behind it.
    """
    users = graph.users[map.node]
    return map.bias is not None or (
        len(users) == 1
        and users[0].op.startswith("aten.batch_norm")
        and users[0].args[0] == Ref(map.node)
    )


def _backward(
    context: Context, batch: Batch, names: Container[str], generator: torch.Generator
) -> Iterator[tuple[Node, tuple[Value, ...], Tensor]]:
    """The named nodes that the output depends on, with arguments and the gradient of the projected
    output.
    """
    seen: list[tuple[Node, tuple[Value, ...], Tensor]] = []

    def observe(node: Node, args: tuple[Value, ...], value: Value) -> None:
        if node.name in names:
            seen.append((node, args, value))

    outputs = execute(context.graph, live(context), batch.inputs, observe)
    if not seen:
        return
    gradients = torch.autograd.grad(
        projection(outputs, generator), [value for _, _, value in seen], allow_unused=True
    )
    for (node, args, value), gradient in zip(seen, gradients, strict=True):
        given = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)
        yield node, given, torch.zeros_like(value) if gradient is None else gradient


def _effect(node: Node, args: tuple[Value, ...], change: Change) -> Tensor:
    """The change of a map's output: the map of the changed weight, without bias."""
    map = change.map
    swapped = list(args)
    swapped[node.args.index(WeightRef(map.weight))] = change.weight
    if map.bias is not None:
        at = node.args.index(WeightRef(map.bias))
        swapped[at] = torch.zeros_like(args[at])
    effect: Tensor = lookup(node.op)(*swapped, **dict(node.kwargs))
    if change.shift is None:
        return effect
    width = (1, -1, *(1,) * len(map.kernel)) if map.kernel else (-1,)
    return effect - change.shift.to(effect.dtype).reshape(width)


def _per_sample(context: Context, node: Node, effect: Tensor, count: int) -> Tensor:
    """The effect summed over all but the samples, ``[N]``; ``[1]`` where the axes hide the samples.

    Samples are drawn independently, so the square of a sum over samples is the sum of squares in
    expectation: ``[1]`` is as true, only noisier.
    """
    rows = by_sample(context, node, effect.double(), count)
    return effect.double().sum().reshape(1) if rows is None else rows.sum(1)


def by_sample(context: Context, node: Node, value: Tensor, count: int) -> Tensor | None:
    """A node's value as one row a sample, ``[N, rest]``; None where the axes hide the samples."""
    given = context.axes.values[context.graph.inputs[0].name]
    batch = given[0] if given else None
    for dim, axis in enumerate(context.axes.values[node.name] or ()):
        factors = axis.factors if isinstance(axis, Product) else (axis,)
        if factors and factors[0] == batch:
            return value.movedim(dim, 0).reshape(count, -1)
        if factors and factors[-1] == batch:
            return value.movedim(dim, -1).reshape(-1, count).T
    return None


def _together(a: Tensor, b: Tensor) -> Tensor:
    """The sum of two effects, per sample if both are."""
    return a + b if a.shape == b.shape else (a.sum() + b.sum()).reshape(1)
