"""Amounts as people read them."""

from __future__ import annotations

import pytest

from prunec.ir.units import exact, show


@pytest.mark.parametrize(
    ("number", "metric", "text"),
    [
        (0, "params", "0"),
        (999, "macs", "999"),
        (212_430, "macs", "212.4K"),
        (3 * 10**9, "channels", "3G"),
        (0, "weights", "0B"),
        (1023, "memory", "1023B"),
        (1024, "memory", "1KiB"),
        (2**20 - 1, "activations", "1024KiB"),
        (13 * 2**19, "activations", "6.5MiB"),
        (999, "latency", "999ns"),
        (1_500_000, "latency", "1.5ms"),
        (2 * 10**9, "latency", "2s"),
    ],
)
def test_amounts_are_short(number: int, metric: str, text: str) -> None:
    assert show(number, metric) == text


def test_amounts_that_look_alike_can_be_written_out() -> None:
    assert exact(1_000_001) == "1_000_001"
    assert exact(2**20, "memory") == "1_048_576B"
