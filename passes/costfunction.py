"""What a solver may ask of a cost, whatever the cost is: a polynomial, or a measured latency."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prunec.passes.polynomial import Floats, Integers


class CostFunction(Protocol):
    """A cost in the widths of ``unknowns`` groups, which never decreases when a width grows.

    `Polynomial` is one. Values are exact: integers in the unit of the metric (counts, bytes,
    nanoseconds). Points are vectors of widths in the order of the unknowns.
    """

    @property
    def unknowns(self) -> int:
        """How many widths it is a function of."""

    @property
    def touched(self) -> NDArray[np.bool_]:
        """Which widths it depends on: bool[unknowns]."""

    def __call__(self, x: Integers) -> Integers:
        """Values at points: int64[..., unknowns] -> int64[...]."""

    def value(self, x: Integers) -> int:
        """The value at one point, int64[unknowns]."""

    def curves(self, x: Integers, table: Integers) -> Integers:
        """Values when one width alone moves: int64[unknowns, k] -> int64[unknowns, k].

        Entry ``[v, k]`` is the value at ``x`` with ``x[v]`` replaced by ``table[v, k]``.
        """

    def real(self, x: Floats) -> float:
        """The value at one real point, float64[unknowns]; at a whole one that of `value`."""

    def gradient(self, x: Floats) -> Floats:
        """Partial derivatives of `real`: float64[unknowns]."""

    def separable(self, x: Integers, widths: Integers) -> tuple[Floats, float]:
        """Curves, float64[unknowns, k], and a constant, whose sum is nowhere above the cost.

        ``widths``: int64[unknowns, k] are all that a width may be, ascending and ending at the
        largest. For every choice of one entry per row, the constant and the entries chosen add up
        to at most the cost there; at ``x``, one such choice, to the cost or near it.
        """
