"""Units: amounts of every metric as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Scale: TypeAlias = Sequence[tuple[str, int]]
COUNTS: Scale = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 10**3), ("", 1))
BYTES: Scale = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1))
TIMES: Scale = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
SCALES: Mapping[str, Scale] = {
    "weights": BYTES,
    "activations": BYTES,
    "memory": BYTES,
    "latency": TIMES,
}
"""Largest unit first; every other metric is a count."""


def show(number: int, metric: str = "params") -> str:
    """An amount with a unit, four digits at most: ``212.4K``, ``1.5MiB``, ``830us``.

    >>> show(212_430), show(1_572_864, "memory"), show(0, "weights")
    ('212.4K', '1.5MiB', '0B')
    """
    scale = _scale(metric)
    for unit, size in scale[:-1]:
        if number >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number}{scale[-1][0]}"


def exact(number: int, metric: str = "params") -> str:
    """An amount to the last digit, in the smallest unit: ``1_572_864B``."""
    return f"{number:_}{_scale(metric)[-1][0]}"


def _scale(metric: str) -> Scale:
    """That of a metric, which may name its device: ``latency on cpu(threads=1, batch=1)``."""
    return SCALES.get(metric.partition(" ")[0], COUNTS)
