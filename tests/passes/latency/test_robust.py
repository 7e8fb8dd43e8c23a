"""Coefficients are found again, whatever a few measurements say."""

from __future__ import annotations

import numpy as np
import pytest

from prunec.passes.latency import robust


def test_two_parts_with_disturbed_points() -> None:
    draw = np.random.default_rng(0)
    units = draw.uniform(1e5, 5e6, 15)
    parts = np.stack([units, np.full(15, 200.0)], axis=1)
    times = 1.05 * units + 200 * 900.0
    times[[3, 9]] *= [1.3, 1.25]
    assert robust.fit(parts, times) == pytest.approx([1.05, 900], rel=0.02)


def test_nothing_is_negative() -> None:
    parts = np.stack([np.arange(1.0, 9), np.ones(8)], axis=1)
    found = robust.fit(parts, np.arange(1.0, 9) * 2 - 1)
    assert (found >= 0).all()
    assert found[1] == pytest.approx(0, abs=1e-9)
