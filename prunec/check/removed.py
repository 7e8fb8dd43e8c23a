"""Removed: which indices of every tensor of the original stay, as the compiler claims it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.ir.graph import Graph, TensorType, Type

# What is kept of a tensor: per dimension a boolean mask, None where nothing goes; of a tuple value
# one of these per item; None for a number, or where nothing goes at all.
Kept: TypeAlias = "tuple[NDArray[np.bool_] | None, ...] | tuple[Kept, ...] | None"
Keep: TypeAlias = "tuple[Tensor | None, ...] | tuple[Keep, ...] | None"


@dataclass(frozen=True, eq=False)
class Removed:
    """The claim that the twin tests: per input or node, and per weight, what is kept of it.

    Names that are not listed lose nothing. ``dropped`` are sums with the operands (names of nodes)
    that count as zero: the sum is what its other operands are. ``absent`` are weights that nothing
    needs then, and that the slim module does not have. ``renumbered[input]`` says which integers an
    input may hold, bool[rows of the embeddings that they select from]: the slim module calls them
    by their rank, and where a model's output runs over them it gives the kept ones, in order.
    """

    values: Mapping[str, Kept] = field(default_factory=dict)
    weights: Mapping[str, Kept] = field(default_factory=dict)
    dropped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    renumbered: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def at(self, graph: Graph, sizes: Mapping[str, int]) -> tuple[dict[str, Keep], dict[str, Keep]]:
        """What is kept of values and of weights, as tensors, where the dynamic dimensions have
        these sizes.
        """
        known: dict[int, Tensor] = {}
        values = {
            name: _value(graph.types[name], kept, Sizes(_traced(graph), sizes), known)
            for name, kept in self.values.items()
        }
        weights = {
            name: _tensor(kept, (None,) * len(kept or ()), Sizes({}, {}), known)
            for name, kept in self.weights.items()
        }
        return values, weights


@dataclass(frozen=True, slots=True)
class Sizes:
    """The dynamic sizes that the masks were made for, and those that they are wanted for."""

    traced: Mapping[str, int]
    wanted: Mapping[str, int]


def loses(keep: object) -> bool:
    """Whether anything is removed of a value (or of any value in a list of them)."""
    if isinstance(keep, Tensor | np.ndarray):
        return not bool(keep.all())
    return isinstance(keep, tuple | list) and any(map(loses, keep))


def resize(mask: Tensor, symbol: str, sizes: Sizes) -> Tensor | None:
    """A mask of a dimension of size ``symbol`` (``"2*N"``), made anew for other sizes; None where
    nothing goes.

    The dynamic factor can lie outside or inside of what is pruned: the mask must not depend on it,
    and is repeated along it as often as is wanted. The traced sizes are distinct primes, which
    makes the place unique as far as it matters.

    Raises:
        ValueError: the size is no product, or the mask depends on the dynamic factor.
    """
    if bool(mask.all()):
        return None
    for factor in symbol.split("*"):
        if factor.isdigit():
            continue
        if factor not in sizes.traced:
            raise ValueError(f"a dimension of size `{symbol}` is pruned")
        mask = _repeat(mask, sizes.traced[factor], sizes.wanted.get(factor, sizes.traced[factor]))
    return mask


def _repeat(mask: Tensor, have: int, want: int) -> Tensor:
    rest = len(mask) // have
    for outer in (n for n in range(1, rest + 1) if rest % n == 0 and len(mask) % have == 0):
        parts = mask.view(outer, have, rest // outer)
        if torch.equal(parts, parts[:, :1].expand_as(parts)):
            return parts[:, :1].expand(outer, want, rest // outer).reshape(-1)
    raise ValueError("what is pruned depends on a dynamic dimension")


def _traced(graph: Graph) -> dict[str, int]:
    return {
        symbol: size
        for given in graph.inputs
        for symbol, size in zip(given.type.symbols, given.type.shape, strict=True)
        if symbol is not None
    }


def _value(kind: Type, kept: Kept, sizes: Sizes, known: dict[int, Tensor]) -> Keep:
    if kept is None:
        return None
    if isinstance(kind, tuple):
        return tuple(_value(k, item, sizes, known) for k, item in zip(kind, kept, strict=True))  # type: ignore[arg-type]
    symbols = kind.symbols if isinstance(kind, TensorType) else (None,) * len(kept)
    return _tensor(kept, symbols, sizes, known)


def _tensor(
    kept: Kept, symbols: tuple[str | None, ...], sizes: Sizes, known: dict[int, Tensor]
) -> Keep:
    found: list[Tensor | None] = []
    for mask, symbol in zip(kept or (), symbols, strict=True):
        if not isinstance(mask, np.ndarray):
            found.append(None)
            continue
        if id(mask) not in known:
            known[id(mask)] = torch.from_numpy(np.ascontiguousarray(mask, dtype=bool))
        found.append(known[id(mask)] if symbol is None else resize(known[id(mask)], symbol, sizes))
    return tuple(found)


def select(tensor: Tensor, kept: Kept) -> Tensor:
    """The part of a weight that is kept."""
    for dim, mask in enumerate(kept or ()):
        if isinstance(mask, np.ndarray):
            index = torch.from_numpy(np.flatnonzero(mask)).to(tensor.device)
            tensor = tensor.index_select(dim, index)
    return tensor
