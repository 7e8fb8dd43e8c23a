"""ONNX file: what onnxruntime makes of it is what the slim module returns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from prunec.check.removed import Removed
from prunec.check.twin import Result
from prunec.ir.graph import Graph


def run(
    data: bytes,
    graph: Graph,
    removed: Removed,
    slim: nn.Module,
    example: Sequence[Tensor],
    *,
    tolerance: float,
) -> Result:
    """Compare a file with the slim module at the sizes of the example and at others."""
    raise NotImplementedError
