"""Renumbered: inputs whose integers the slim module calls by their rank among those that stay.

Such an input must be nothing but looked up in embeddings, for else its numbers mean something. The
original gets integers that stay, the slim module their ranks; of what the original returns along
the same integers the kept are compared, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.check import samples
from prunec.check.removed import Kept, Removed, loses
from prunec.diagnostics import Diagnostic
from prunec.ir.graph import Graph

HELP = "this is a defect of prunec, do not use this output; please report it with the model"


def fault(graph: Graph, removed: Removed) -> Diagnostic | None:
    """P0804 where the claim changes the interface otherwise than by renumbering."""
    inputs = [i.name for i in graph.inputs]
    lost = [name for name in inputs if loses(removed.values.get(name))]
    outputs = dict.fromkeys(ref.name for ref in graph.outputs)
    lost += [n for n in outputs if n not in lost and not _in_order(removed, removed.values.get(n))]
    if lost:
        message = f"channels of the model's inputs or outputs are removed: {', '.join(lost)}"
        return Diagnostic("P0804", message, help=HELP)
    wrong = [n for n, kept in removed.renumbered.items() if not _looked_up(graph, n, kept)]
    if wrong:
        message = f"inputs are renumbered that are more than looked up: {', '.join(wrong)}"
        return Diagnostic("P0804", message, help=HELP)
    return None


def originals(graph: Graph, removed: Removed, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The inputs with integers that stay: one that goes is replaced by one that stays."""
    return _each(graph, removed, inputs, _replacements)


def ranks(graph: Graph, removed: Removed, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What the slim module is given for inputs whose integers all stay."""
    return _each(graph, removed, inputs, lambda kept: kept.long().cumsum(0) - 1)


def returned(removed: Removed, name: str, value: Tensor) -> Tensor:
    """What the slim module must return for a value that the original returns."""
    for dim, kept in enumerate(removed.values.get(name) or ()):
        if loses(kept):
            where = torch.from_numpy(np.flatnonzero(kept))  # type: ignore[arg-type]
            value = value.index_select(dim, where)
    return value


def _in_order(removed: Removed, kept: Kept) -> bool:
    """Whether a value loses nothing, or only what renumbered inputs lose."""
    if not loses(kept):
        return True
    ids = tuple(removed.renumbered.values())
    return all(
        not loses(mask)
        or (isinstance(mask, np.ndarray) and any(np.array_equal(mask, other) for other in ids))
        for mask in kept or ()
    )


def _looked_up(graph: Graph, name: str, kept: NDArray[np.bool_]) -> bool:
    given = {i.name for i in graph.inputs}
    returned = {ref.name for ref in graph.outputs}
    return name in given - returned and samples.rows(graph, name) == len(kept) and bool(kept.any())


def _replacements(kept: Tensor) -> Tensor:
    every, stay = torch.arange(len(kept)), kept.nonzero().squeeze(1)
    return torch.where(kept, every, stay[every % len(stay)])


def _each(
    graph: Graph,
    removed: Removed,
    inputs: Sequence[Tensor],
    table: Callable[[Tensor], Tensor],
) -> tuple[Tensor, ...]:
    """The inputs, the renumbered ones looked up in a table that is made of what is kept."""
    found = list(inputs)
    for at, given in enumerate(graph.inputs):
        if given.name in removed.renumbered:
            kept = torch.from_numpy(np.ascontiguousarray(removed.renumbered[given.name]))
            found[at] = table(kept)[inputs[at].long()].to(inputs[at].dtype)
    return tuple(found)
