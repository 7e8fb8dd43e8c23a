"""Times as sums of parts that are never negative, through measurements of which some are wrong."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from prunec.passes.polynomial import Floats

ROUNDS = 8
LEAST_ERROR = 0.01
"""Relative errors below are not told from noise."""
RIDGE = 1e-3
"""Pull to zero, relative to the largest value of every part: of parts that are alike, all are
taken.
"""


def fit(parts: Floats, times: Floats) -> Floats:
    """Non-negative coefficients of the least relative errors of ``parts @ coefficients``.

    Squares are least (Lawson and Hanson, 1974), but for large errors, which count by their size
    (Huber, 1964): a disturbed measurement does not bend the rest.

    Args:
        parts: float64[points, parts], not negative.
        times: float64[points], positive.
    """
    design = parts / times[:, None]
    largest = np.maximum(design.max(axis=0), 1e-30)
    design /= largest
    count = design.shape[1]
    pull = np.sqrt(len(times)) * RIDGE * np.eye(count)
    weight, found = np.ones(len(times)), np.zeros(count)
    for _ in range(ROUNDS):
        rows = np.concatenate([design * weight[:, None], pull])
        found, _ = nnls(rows, np.concatenate([weight, np.zeros(count)]))
        error = np.abs(design @ found - 1)
        usual = max(1.5 * float(np.median(error)), LEAST_ERROR)
        weight = np.sqrt(np.minimum(1.0, 1.5 * usual / np.maximum(error, 1e-12)))
    coefficients: Floats = found / largest
    return coefficients
