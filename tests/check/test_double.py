"""Float64 copies of modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunec.check import double


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_weight_that_a_hook_computes_is_copied() -> None:
    module = torch.nn.utils.weight_norm(nn.Linear(3, 4))
    copied = double.module(module, train=False)
    x = torch.randn(2, 3)
    assert copied.weight_v.dtype == torch.float64
    torch.testing.assert_close(copied(x.double()).float(), module(x))
    assert module.weight_v.dtype == torch.float32
