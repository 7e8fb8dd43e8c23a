"""Samples: random inputs of other sizes, in the image of the example. Deterministic by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from prunec.check import double
from prunec.diagnostics import InternalError
from prunec.ir.graph import Graph, Input, TensorType, WeightRef

CARRIED = (
    "aten.to.",
    "aten._to_copy.",
    "aten.view.",
    "aten.reshape.",
    "aten.unsqueeze.",
    "aten.squeeze.",
    "aten._unsafe_view.",
    "aten.flatten.",
    "aten.unflatten.",
    "aten.transpose.",
    "aten.permute.",
    "aten.t.",
    "aten.expand.",
    "aten.clone.",
    "aten.contiguous.",
    "aten.detach.",
    "aten.alias.",
)
SHAPED = ("aten.zeros_like.", "aten.ones_like.", "aten.new_zeros.", "aten.new_ones.")
"""What asks a tensor for its shape alone."""


def sizes(
    graph: Graph, example: Sequence[Tensor], batches: Sequence[int]
) -> Iterator[dict[str, int]]:
    """The dynamic sizes to try: each batch size, then once the sizes of the trace for all the
    others.

    The batch is the first dynamic dimension of the first input that has one. A model without any is
    tried once, as the example is.
    """
    found = given(graph, example)
    if not found:
        yield {}
        return
    batch, *others = found
    for count in batches:
        yield {**found, batch: count}
    if others:
        yield {**_traced(graph), batch: batches[-1]}


def draw(
    graph: Graph, example: Sequence[Tensor], wanted: Mapping[str, int], seed: int = 0
) -> tuple[Tensor, ...]:
    """Inputs of the wanted dynamic sizes.

    Floating-point inputs are standard normal in float64. Those with two distinct values (masks),
    and integers that are no rows of an embedding, are the example's, repeated or cut; the others
    are drawn from its rows.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        _draw(graph, declared, tensor, wanted, generator)
        for declared, tensor in zip(graph.inputs, example, strict=True)
    )


def given(graph: Graph, example: Sequence[Tensor]) -> dict[str, int]:
    """The dynamic sizes that these inputs have, by symbol."""
    if len(example) != len(graph.inputs):
        raise InternalError(f"the graph has {len(graph.inputs)} inputs, {len(example)} are given")
    return {
        symbol: size
        for declared, tensor in zip(graph.inputs, example, strict=True)
        for symbol, size in zip(declared.type.symbols, tensor.shape, strict=True)
        if symbol is not None and symbol.isidentifier()
    }


def _traced(graph: Graph) -> dict[str, int]:
    return {
        symbol: size
        for declared in graph.inputs
        for symbol, size in zip(declared.type.symbols, declared.type.shape, strict=True)
        if symbol is not None
    }


def _draw(
    graph: Graph,
    declared: Input,
    tensor: Tensor,
    wanted: Mapping[str, int],
    generator: torch.Generator,
) -> Tensor:
    for dim, symbol in enumerate(declared.type.symbols):
        if symbol is not None and symbol in wanted:
            index = torch.arange(wanted[symbol]) % tensor.shape[dim]
            tensor = tensor.index_select(dim, index)
    found = rows(graph, declared.name)
    if tensor.is_floating_point() and not _two_valued(tensor):
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if not tensor.is_floating_point() and found is not None:
        return torch.randint(found, tensor.shape, generator=generator, dtype=tensor.dtype)
    return double.tensor(tensor)


def _two_valued(tensor: Tensor) -> bool:
    low, high = tensor.min(), tensor.max()
    return bool(low < high) and bool(((tensor == low) | (tensor == high)).all())


def rows(graph: Graph, name: str) -> int | None:
    """The rows of the embeddings that an input selects from; None if it is used otherwise too."""
    found: list[int] = []
    for user in graph.users[name]:
        if user.op == "aten.embedding.default" and isinstance(user.args[0], WeightRef):
            kind = graph.weight[user.args[0].name].type
            found.append(kind.shape[0])
        elif user.op.startswith(CARRIED) and isinstance(user.type, TensorType):
            count = rows(graph, user.name)
            if count is None:
                return None
            found.append(count)
        elif user.op != "size" and not user.op.startswith(SHAPED):
            return None
    return min(found, default=None)
