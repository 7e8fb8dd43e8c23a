"""A site: one node of the original with its evaluated arguments, and what is kept of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from prunec.check.removed import Keep, loses
from prunec.ir.graph import Node


class Refused(Exception):
    """The operator cannot be evaluated with what is removed from its arguments."""


@dataclass(frozen=True, eq=False)
class Site:
    """A node, the operator, its arguments by schema name (defaults filled in), and what is kept of
    them.

    ``keep`` has the structure of ``args``. ``train`` asks batch norms for the statistics of the
    batch.
    """

    node: Node
    op: Any
    args: Mapping[str, Any]
    keep: Mapping[str, Any]
    result: Keep
    train: bool = False

    @property
    def base(self) -> str:
        """The operator's name without overload: ``conv2d``; of one that is not aten's with its
        namespace.
        """
        return self.node.op.rpartition(".")[0].removeprefix("aten.")

    @cached_property
    def touched(self) -> bool:
        """Whether anything is removed from an argument or from the result."""
        return loses(self.result) or loses(list(self.keep.values()))

    def rank(self, name: str) -> int:
        return self.tensor(name).dim()

    def tensor(self, name: str) -> Tensor:
        value = self.args.get(name)
        if not isinstance(value, Tensor):
            raise Refused(f"`{name}` is no tensor")
        return value

    def mask(self, name: str, dim: int) -> Tensor | None:
        """What is kept along a dimension of a tensor argument; None where nothing goes."""
        keep = self.keep.get(name)
        if not keep:
            return None
        found: Tensor | None = keep[dim]
        return None if found is None or bool(found.all()) else found

    def intact(self, name: str, dims: Iterable[int]) -> None:
        """Refuse if anything is removed along these dimensions of an argument."""
        for dim in dims:
            if self.mask(name, dim) is not None:
                raise Refused(f"dimension {dim % self.rank(name)} of `{name}` is pruned")

    def weight(self, name: str, dims: Iterable[int]) -> Tensor:
        """One where an index of the argument stays along all of ``dims``, zero elsewhere; it
        broadcasts.
        """
        value = self.tensor(name)
        result = torch.ones((1,) * value.dim(), dtype=torch.bool)
        for dim in dims:
            kept = self.mask(name, dim)
            size = value.shape[dim]
            shape = [1] * value.dim()
            shape[dim] = size
            result = result & (torch.ones(size, dtype=torch.bool) if kept is None else kept).view(
                shape
            )
        return result

    def filled(self, name: str, dims: Iterable[int], fill: float = 0.0) -> Tensor:
        """A tensor argument with ``fill`` wherever its index is removed along one of ``dims``."""
        value = self.tensor(name)
        removed = [d for d in dims if self.mask(name, d) is not None]
        if not removed:
            return value
        return torch.where(self.weight(name, removed), value, value.new_full((), fill))

    def call(self, /, **changes: Any) -> Any:
        """The operator on its arguments, some of them replaced."""
        return self.op(**{**self.args, **changes})


Rule: TypeAlias = Callable[[Site], Any]
"""How an operator is evaluated with channels removed."""
