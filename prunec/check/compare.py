"""Compare: how far one output is from another, relative to its scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-9
SMALLEST = 1e-6  # an output this close to zero everywhere is compared absolutely


def error(want: Any, got: Any) -> float:
    """``max |want - got| / max |want|``; infinite where shapes, integers or non-finite elements
    differ.
    """
    if not isinstance(want, Tensor) or not isinstance(got, Tensor):
        return 0.0 if want == got else torch.inf
    if want.shape != got.shape:
        return torch.inf
    if not (want.is_floating_point() or want.is_complex()):
        return 0.0 if torch.equal(want, got.to(want.dtype)) else torch.inf
    if want.dtype != got.dtype:
        return torch.inf
    want, got = want.detach(), got.detach()
    finite = torch.isfinite(want)
    strange = ~finite
    if not torch.equal(finite, torch.isfinite(got)):
        return torch.inf
    if not torch.equal(want[strange].nan_to_num(), got[strange].nan_to_num()):
        return torch.inf
    if not finite.any():
        return 0.0
    scale = max(float(want[finite].abs().max()), SMALLEST)
    return float((want[finite] - got[finite]).abs().max()) / scale


def says_something(value: Any) -> bool:
    """Whether an output can tell two models apart: some element of it is finite."""
    return not isinstance(value, Tensor) or value.numel() == 0 or bool(torch.isfinite(value).any())
