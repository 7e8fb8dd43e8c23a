"""Fidelity: the traced graph computes what the original module computes, in float64, at several
sizes.

It proves the front end, and with the masked twin the whole road: original = graph, and graph
without the removed channels = slim module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from prunec.check import twin
from prunec.check.compare import TOLERANCE
from prunec.check.removed import Removed
from prunec.check.twin import Result
from prunec.ir.graph import Graph


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    original: nn.Module,
    example: Sequence[Tensor],
    *,
    batches: Sequence[int] = twin.BATCHES,
    tolerance: float = TOLERANCE,
) -> Result:
    """Compare a graph with the module that it was traced from, in eval mode; P0802 where they
    differ.

    ``example`` holds the tensors of the user's example, in the order of ``graph.inputs``.
    """
    return twin.compared(
        twin.Question(graph, weights, Removed(), original, example, tolerance, twin.FIDELITY),
        batches,
        modes=("eval",),
    )
