"""CIFAR-10 as 50,000 JPEG images: 0-44,999 for calibration, 45,000-49,999 for validation.

The folder holds ``cifar10_jpeg_train.npz`` and the weights; it is ``$PRUNEC_DATA`` or
``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

ARCHIVE = "cifar10_jpeg_train.npz"
FIRST = {"train": 0, "validation": 45_000}
COUNT = {"train": 45_000, "validation": 5_000}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def folder() -> Path:
    """Where the images and weights are."""
    named = os.environ.get("PRUNEC_DATA")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "data"


def available() -> bool:
    """Whether the data is there."""
    return (folder() / ARCHIVE).is_file()


@cache
def load(split: Literal["train", "validation"], images: int | None = None) -> tuple[Tensor, Tensor]:
    """The first ``images`` (all by default) of a split: ``float32[n, 3, 32, 32]``, normalised, and
    ``int64[n]``.
    """
    start = FIRST[split]
    stop = start + min(images or COUNT[split], COUNT[split])
    with np.load(folder() / ARCHIVE) as archive:
        jpeg, offset, label = (archive[name] for name in ("jpeg", "offset", "label"))
    found = [_decode(jpeg[offset[i] : offset[i + 1]].tobytes()) for i in range(start, stop)]
    return torch.stack(found), torch.from_numpy(label[start:stop]).long()


def batches(
    split: Literal["train", "validation"] = "train", images: int | None = None, size: int = 128
) -> Iterator[tuple[Tensor, Tensor]]:
    """The first ``images`` of a split with their labels, ``size`` at a time."""
    x, y = load(split, images)
    yield from zip(x.split(size), y.split(size), strict=True)


def _decode(data: bytes) -> Tensor:
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (image - MEAN) / DEVIATION
