"""What a format is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from prunec.ir.axis import Mask
from prunec.ir.graph import Graph


@dataclass(frozen=True, eq=False)
class Slim:
    """The slim model, and an example of its inputs.

    ``module`` is built from ``source``, in eval mode; ``graph`` and ``weights`` are the slim ones;
    ``original`` is the model, or the part of one, that was compiled. ``renumbered`` are inputs
    whose integers are renumbered, with those that are kept.
    """

    class_name: str
    source: str
    module: nn.Module
    graph: Graph
    weights: Mapping[str, Tensor]
    original: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    renumbered: Mapping[str, Mask] = field(default_factory=dict)
