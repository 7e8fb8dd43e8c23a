"""The model that a part belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.utils._pytree as pytree
from torch import nn

from prunec.diagnostics import Span


@dataclass(frozen=True, eq=False)
class Whole:
    """The model that a part belongs to, with an example of its inputs.

    ``shared`` are the names, within the part, of weights that the rest of the model uses too;
    ``output`` is the structure of what the part returns.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    path: str
    shared: frozenset[str] = frozenset()
    output: pytree.TreeSpec | None = None
    span: Span | None = None

    @property
    def part(self) -> nn.Module:
        return self.module.get_submodule(self.path)
