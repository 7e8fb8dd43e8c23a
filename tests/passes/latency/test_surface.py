"""Surfaces: known staircases are found again, disturbed points are not followed."""

from __future__ import annotations

import numpy as np
import pytest

from prunec.passes import latency
from prunec.passes.polynomial import Floats, Integers


def blocks(sizes: Integers) -> Integers:
    return -(-sizes // 16) * 16


def convolution(sizes: Integers) -> Floats:
    """Time of a blocked convolution, with a reorder that costs more where a block is padded."""
    a, b = sizes.T
    return 5000 + 40 * a + 25 * b + 0.9 * blocks(a) * blocks(b) + 60.0 * blocks(b) * (b % 16 != 0)


def scattered(count: int, *most: int) -> Integers:
    draw = np.random.default_rng(0)
    return np.stack([draw.integers(1, m + 1, count) for m in most], axis=1)


def test_a_staircase_is_found_again() -> None:
    points = scattered(150, 96, 128)
    found = latency.fit(points, convolution(points))
    fresh = scattered(500, 96, 128)[150:]
    assert np.abs(found(fresh) / convolution(fresh) - 1).max() < 0.02


def test_the_edge_of_a_stair_is_sharp() -> None:
    points = scattered(150, 96, 128)
    found = latency.fit(points, convolution(points))
    at = np.array([[64, 49], [64, 63], [64, 64], [64, 65]])
    inside, end, edge, beyond = found(at)
    assert edge < end, "a whole block needs no padding"
    assert abs(end - inside) < 0.03 * inside, "flat within a block"
    assert beyond > 1.1 * edge


def test_disturbed_points_do_not_bend_it() -> None:
    points = scattered(150, 96, 128)
    times = convolution(points)
    times[::10] *= 3
    found = latency.fit(points, times)
    assert np.abs(found(points) / convolution(points) - 1).max() < 0.05


def test_every_kernel_has_a_surface_of_its_own() -> None:
    points = scattered(200, 200, 64)
    slow = points[:, 0] < 105
    times = np.where(slow, 24.0, 11.0) * points[:, 0] * points[:, 1] + 1000
    found = latency.fit(points, times, [[105], []])
    left, right = found(np.array([[104, 64], [105, 64]]))
    assert left == pytest.approx(24 * 104 * 64 + 1000, rel=0.01)
    assert right == pytest.approx(11 * 105 * 64 + 1000, rel=0.01)


def test_a_cell_without_points_takes_those_of_all() -> None:
    points = scattered(50, 64)
    found = latency.fit(points, 10.0 * points[:, 0] + 100, [[200]])
    assert found(np.array([[250]]))[0] == pytest.approx(2600, rel=0.02)


def test_times_are_never_negative_and_a_unit_may_have_no_sizes() -> None:
    found = latency.fit(np.zeros((3, 0), dtype=np.int64), np.array([90.0, 100.0, 110.0]))
    assert found(np.zeros((2, 0), dtype=np.int64)) == pytest.approx(100, rel=0.02)
    falling = latency.fit(np.array([[1], [100]]), np.array([100.0, 1.0]))
    assert (falling(np.arange(1, 200)[:, None]) >= 0).all()


def test_a_matrix_product_pays_for_every_bit_of_what_is_left() -> None:
    points = scattered(300, 192, 256)
    a, b = points.T
    bits = 45 * ((b & 1) + ((b >> 1) & 1)) + 30 * ((b >> 2) & 1) + 20 * ((b >> 3) & 1)
    times = 3000 + 3.5 * a * b + a * bits
    found = latency.fit(points, times)
    assert np.abs(found(points) / times - 1).max() < 0.01


def test_a_concatenation_of_many_has_a_price_for_each() -> None:
    points = scattered(120, *[64] * 12)
    times = 5000 + points @ np.arange(10, 130, 10)
    found = latency.fit(points, times.astype(float))
    assert np.abs(found(points) / times - 1).max() < 0.02
    assert all(sum(f != "one" for f in t.factors) <= 1 for t in found[0])
