"""A case: one model of a suite, and how to build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

BATCH = 2
"""Rows of every example input."""


@dataclass(frozen=True, eq=False)
class Built:
    """A model in eval mode with random weights, and an example call. ``part`` alone is compiled."""

    module: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One model. ``build`` makes it, from seeded random weights, and imports what it needs."""

    suite: str
    name: str
    build: Callable[[], Built]

    @property
    def full(self) -> str:
        return f"{self.suite}/{self.name}"
