"""An operator without a rule is evaluated as it is, if what is removed does not matter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from prunec.check import independence
from prunec.check.site import Refused, Site
from prunec.ir.graph import Node

KEPT = torch.tensor([True, False, True, True])
A: Any = torch.ops.aten


def _site(op: Any, args: dict[str, Any], keep: dict[str, Any], result: Any) -> Site:
    return Site(Node("y", str(op), ()), op, args, keep, result)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_what_reads_no_removed_index_is_right() -> None:
    x = _random(3, 4)
    args = {"self": x, "n": None, "dim": 0, "norm": None}
    site = _site(A.fft_fft.default, args, {"self": (None, KEPT)}, (None, KEPT))
    assert torch.equal(independence.run(site), torch.fft.fft(x, dim=0))


@pytest.mark.parametrize("dim", [1, -1])
def test_what_reads_one_is_refused(dim: int) -> None:
    args = {"self": _random(3, 4), "n": None, "dim": dim, "norm": None}
    site = _site(A.fft_fft.default, args, {"self": (None, KEPT)}, (None, KEPT))
    with pytest.raises(Refused, match="removed changes"):
        independence.run(site)


def test_a_claim_that_leaves_out_a_result_is_refused() -> None:
    args = {"self": _random(3, 4), "n": None, "dim": 0, "norm": None}
    site = _site(A.fft_fft.default, args, {"self": (None, KEPT)}, None)
    with pytest.raises(Refused):
        independence.run(site)


def test_lists_flags_and_integers() -> None:
    x, y = _random(3, 4), _random(3, 4)
    site = _site(
        A.broadcast_tensors.default,
        {"tensors": [x, y]},
        {"tensors": [(None, KEPT), (None, KEPT)]},
        ((None, KEPT), (None, KEPT)),
    )
    assert torch.equal(independence.run(site)[1], y)
    flags = x > 0
    site = _site(A.bitwise_not.default, {"self": flags}, {"self": (None, KEPT)}, (None, KEPT))
    assert torch.equal(independence.run(site), ~flags)
    index = torch.tensor([[0, 3, 1, 2]])
    site = _site(
        A.gather.default,
        {"self": x, "dim": 0, "index": index % 3, "sparse_grad": False},
        {"self": (None, KEPT), "index": (None, KEPT)},
        (None, KEPT),
    )
    assert torch.equal(independence.run(site), x.gather(0, index % 3))
