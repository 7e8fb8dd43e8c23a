"""Torchvision models beside a torch without torchvision's compiled operators (a CPU-only build)."""

from __future__ import annotations

import torch
from torch import nn

# Operators of detection heads for which torchvision registers fake kernels when it is imported.
_OPERATORS = (
    "nms qnms roi_align qroi_align ps_roi_align roi_pool ps_roi_pool deform_conv2d "
    "_roi_align_backward _ps_roi_align_backward _roi_pool_backward _ps_roi_pool_backward "
    "_deform_conv2d_backward"
).split()


def build(name: str, **options: object) -> nn.Module:
    """A torchvision classifier with random weights, in eval mode."""
    register()
    from torchvision import models

    torch.manual_seed(0)
    return models.get_model(name, weights=None, **options).eval()


def register() -> None:
    """Declare the operators that torchvision looks for, where no compiled ones are loaded."""
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor x) -> Tensor")
