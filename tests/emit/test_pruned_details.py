"""Details that only a smaller model shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import prunec


class Spectrum(nn.Module):
    """A norm that has no weights to tell its channels, and a property of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.norm = nn.InstanceNorm2d(8)
        self.b = nn.Conv2d(8, 4, 1)
        self.c = nn.Conv2d(4, 6, 1)
        self.d = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.fft(self.b(self.norm(self.a(x)))).real
        return self.d(self.c(x)).sum(1)


@pytest.mark.filterwarnings("error:input's size")
def test_a_norm_without_weights_counts_what_is_left_and_properties_are_not_called() -> None:
    spec = "target macs <= 60%\nprune channels { score l2 }\nrepair none\n"
    compiled = prunec.compile(spec, model=Spectrum(), args=(torch.randn(2, 3, 8, 8),))
    assert (
        f"nn.InstanceNorm2d({compiled.module.get_submodule('a').out_channels})" in compiled.source
    )
    assert ".real" in compiled.source
    assert ".real()" not in compiled.source
