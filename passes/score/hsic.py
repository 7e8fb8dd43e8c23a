"""What a layer is worth by how little it shares with the others: normalised HSIC (ITPruner).

For two layers with outputs X and Y (one row a sample) and centred Gram matrices K and L of these,
nHSIC = <K, L> / (|K| |L|), between 0 and 1: the centred kernel alignment with a linear kernel. A
layer's redundancy r is the sum over all others, divided by the sum of all r; its importance is
exp(-beta r), on the scale of the largest (Zheng et al., An Information Theory-inspired Strategy for
Automatic Network Pruning, 2021). Several batches add up in both products, each centred by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Node
from prunec.ir.group import Group
from prunec.passes.batches import Batch
from prunec.passes.execute import Value
from prunec.passes.execute import run as execute
from prunec.passes.polynomial import Floats
from prunec.passes.score.context import Context
from prunec.passes.score.sense import by_sample

SAMPLES = 256
"""Samples that are looked at, of one batch at most and of all at least, where there are so many."""
CHUNK = 1 << 24
"""Elements held in float64 at a time."""
ROUNDING = 1e-12
"""A centred Gram matrix as much smaller than the output's squares is zero but for rounding."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """``alignment``: float64[layers, layers], nHSIC of every pair of ``layers`` (names of nodes).

    ``dead`` are layers whose output is the same for all samples: nothing depends on them.
    """

    layers: tuple[str, ...]
    alignment: Floats
    dead: frozenset[str] = frozenset()

    def redundancy(self) -> dict[str, float]:
        """r by layer, adding up to one: what it shares with all others."""
        shared = self.alignment.sum(axis=1) - self.alignment.diagonal()
        total = float(shared.sum())
        return dict(
            zip(self.layers, (shared / total if total > 0 else shared).tolist(), strict=True)
        )


def importance(context: Context, beta: float | None) -> dict[str, float]:
    """By group: the sum of exp(-beta r) over the layers that make it, divided by the largest.

    ``beta`` of None is one over the standard deviation of r over the layers, so that a layer which
    shares a standard deviation more weighs e times less, in a net of any depth. A dead layer
    weighs nothing; a group of which no layer tells its samples apart weighs as much as any.

    Raises:
        PruneError: P0613 if no batch has two samples.
    """
    makers = {g.name: _makers(context, g) for g in context.groups}
    found = run(context, frozenset(name for names in makers.values() for name in names))
    shared = {n: r for n, r in found.redundancy().items() if n not in found.dead}
    scale = _automatic([*shared.values()]) if beta is None else beta
    least = min(shared.values(), default=0.0)
    weight = {n: float(np.exp(-scale * (r - least))) for n, r in shared.items()}
    weight |= dict.fromkeys(found.dead, 0.0)
    sums = {
        group: sum(weight[n] for n in names if n in weight)
        for group, names in makers.items()
        if any(n in weight for n in names)
    }
    largest = max(sums.values(), default=0.0) or 1.0
    return {group: sums.get(group, largest) / largest for group in makers}


def _automatic(redundancy: Sequence[float]) -> float:
    spread = float(np.std(redundancy)) if redundancy else 0.0
    return 1 / spread if spread > ROUNDING else 1.0


def run(context: Context, layers: frozenset[str]) -> Dependence:
    """nHSIC of the outputs of some nodes, those left out whose samples cannot be told apart.

    Raises:
        PruneError: P0613 if no batch has two samples.
    """
    names: tuple[str, ...] = ()
    products, sizes = np.zeros((0, 0)), np.zeros(0)
    for batch in _enough(context.batches):
        grams = _grams(context, batch, layers)
        rows = torch.stack([gram.reshape(-1) for gram, _ in grams.values()] or [torch.zeros(0)])
        found, size = (rows @ rows.T).numpy(), np.array([size for _, size in grams.values()])
        names = tuple(grams)
        products = products + found if products.size else found
        sizes = sizes + size if sizes.size else size
    norms = np.sqrt(products.diagonal()[: len(names)])
    alive = norms > ROUNDING * sizes
    scale = np.where(alive, norms, np.inf)
    dead = frozenset(name for name, lives in zip(names, alive, strict=True) if not lives)
    count = len(names)
    return Dependence(names, products[:count, :count] / scale[:, None] / scale, dead)


def _enough(batches: Sequence[Batch]) -> Iterator[Batch]:
    """The first batches of several samples, until `SAMPLES` are seen."""
    seen = 0
    for batch in batches:
        if batch.size > 1 and seen < SAMPLES:
            seen += batch.size
            yield batch
    if not seen:
        raise PruneError(_single_samples())


def _grams(
    context: Context, batch: Batch, layers: frozenset[str]
) -> dict[str, tuple[Tensor, float]]:
    """By layer the centred Gram matrix ``[n, n]`` of its output, n at most `SAMPLES`, and the
    output's sum of squares before it was centred.
    """
    found: dict[str, tuple[Tensor, float]] = {}

    def observe(node: Node, args: tuple[Value, ...], value: Value) -> None:
        if node.name not in layers or not isinstance(value, Tensor):
            return
        rows = by_sample(context, node, value, batch.size)
        if rows is not None:
            found[node.name] = _gram(rows[:SAMPLES])

    with torch.no_grad():
        execute(context.graph, context.weights, batch.inputs, observe)
    return found


def _gram(rows: Tensor) -> tuple[Tensor, float]:
    """``rows rows^T`` of centred rows in float64, a part of the columns at a time."""
    gram, size = torch.zeros(len(rows), len(rows), dtype=torch.float64), 0.0
    for part in torch.split(rows, max(1, CHUNK // len(rows)), dim=1):
        wide = part.double()
        size += float(wide.square().sum())
        centred = wide - wide.mean(0)
        gram += centred @ centred.T
    return gram, size


def _makers(context: Context, group: Group) -> tuple[str, ...]:
    """The nodes whose outputs are the group's channels; of a block, the values of its branches."""
    if group.branches:
        return tuple(branch.value.name for branch in group.branches)
    weights = {p.weight for p in group.places if p.role == "produce"}
    matrices = {name for name in weights if context.weights[name].ndim > 1}
    return tuple(
        node.name
        for node in context.graph.nodes
        if any(ref.name in matrices for ref in node.weight_refs())
    )


def _single_samples() -> Diagnostic:
    return Diagnostic(
        "P0613",
        "`lp` compares how layers tell samples apart, and every calibration batch has only one",
        help='yield batches of several samples, or say `lp(importance="score")`',
    )
