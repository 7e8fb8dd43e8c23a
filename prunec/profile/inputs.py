"""What a model is measured with: its example inputs, at the batch size of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from prunec.diagnostics import Diagnostic, PruneError
from prunec.passes.sizes import BATCH
from prunec.trace.inputs import bind, resized
from prunec.understand import Understood


@dataclass(frozen=True, eq=False)
class Example:
    """Arguments of a forward; ``tensors`` are those among them, in the order of `Graph.inputs`."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tensors: tuple[torch.Tensor, ...]


def example(model: Understood, batch: int) -> Example:
    """The inputs of a model with ``batch`` samples.

    Raises:
        PruneError: P0625 if its number of samples is fixed, and another.
    """
    subject, graph = model.subject, model.traced.graph
    first = graph.inputs[0].type if graph.inputs else None
    symbols = {s for i in graph.inputs for s in i.type.symbols if s in BATCH}
    if first is not None and not symbols:
        symbols = {s for s in first.symbols[:1] if s is not None}
    fixed = first is not None and not symbols and first.shape[:1] != (batch,)
    if fixed and first is not None:
        raise PruneError(_fixed(first.shape[:1], batch))
    bound = bind(subject.module, subject.args, subject.kwargs, subject.dynamic)
    sizes = {s: batch if s in symbols else bound.size(s) for s in bound.symbols}
    given = resized(bound, sizes)
    return Example(given.args, given.kwargs, tuple(leaf.tensor for leaf in given.leaves))


def _fixed(found: tuple[int, ...], batch: int) -> Diagnostic:
    return Diagnostic(
        "P0625",
        f"the model takes {found[0] if found else 'no'} samples at a time, not {batch}",
        help="name the first dimension of its input, as in `input x: float32[N, 3, 32, 32]`, or "
        f"measure it `on cpu(batch={found[0] if found else 1})`",
    )
