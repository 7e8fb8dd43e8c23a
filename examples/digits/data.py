"""scikit-learn's handwritten digits: 1797 images of 8x8, the last 360 held back for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor

HELD_BACK = 360


def load(split: Literal["train", "validation"]) -> tuple[Tensor, Tensor]:
    """``images: float32[n, 1, 8, 8]`` in [0, 1] and ``labels: int64[n]``, shuffled once by a fixed
    seed.
    """
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    rows = order[:-HELD_BACK] if split == "train" else order[-HELD_BACK:]
    images = torch.from_numpy(found.images).float().unsqueeze(1) / 16
    return images[rows], torch.from_numpy(found.target).long()[rows]


def batches(
    split: Literal["train", "validation"] = "train", images: int | None = None, size: int = 128
) -> Iterator[tuple[Tensor, Tensor]]:
    """The first ``images`` of a split (all by default) with their labels, ``size`` at a time."""
    x, y = load(split)
    yield from zip(x[:images].split(size), y[:images].split(size), strict=True)
