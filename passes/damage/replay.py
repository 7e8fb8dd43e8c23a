"""The dense model's values, computed once and shown again to every walk beside a slim model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prunec.ir.graph import Graph, Ref
from prunec.passes.batches import Batch
from prunec.passes.execute import Tape, Value, Weights, deaths, schedule, wide
from prunec.passes.repair.norm import batch_norm
from prunec.passes.repair.walk import SUMS

LIMIT = 1 << 30
"""Bytes of values that are held; where there are more, every walk computes them again."""


class Replay:
    """A `Tape` of the dense model that computes nothing: ``values`` has, from a node's step until
    its last reader's, what batch-norm re-estimation may ask for, and the outputs.
    """

    def __init__(self, graph: Graph, held: dict[str, list[Value]]) -> None:
        self.graph = graph
        self.values = {i.name: held[i.name] for i in graph.inputs}
        self._held = held
        self._dying = deaths(graph, schedule(graph))

    def compute(self, name: str) -> None:
        """Show the node's values, where they are held."""
        if name in self._held:
            self.values[name] = self._held[name]

    def free(self, name: str) -> None:
        """Hide every value whose last reader is this node."""
        for dead in self._dying[name]:
            self.values.pop(dead, None)


def record(
    graph: Graph, weights: Weights, batches: Sequence[Batch]
) -> dict[str, list[Value]] | None:
    """What a `Replay` shows, by name; None where that is more than the limit."""
    order = schedule(graph)
    tape = Tape(graph, weights, batches, order)
    wanted, held = _wanted(graph), dict[str, list[Value]]()
    for k, given in enumerate(graph.inputs):
        held[given.name] = [wide(b.inputs[k]) for b in batches]
    size = 0
    for node in order:
        tape.compute(node.name)
        if node.name in wanted:
            held[node.name] = found = tape.values[node.name]
            size += sum(v.numel() * v.element_size() for v in found if isinstance(v, Tensor))
            if size > LIMIT:
                return None
        tape.free(node.name)
    return held


def _wanted(graph: Graph) -> set[str]:
    """What batch norms read, what sums add up, and what the graph returns."""
    norms = {norm.x for node in graph.nodes if (norm := batch_norm(node)) is not None}
    sums = {a.name for n in graph.nodes if n.op in SUMS for a in n.args if isinstance(a, Ref)}
    return norms | sums | {ref.name for ref in graph.outputs}
