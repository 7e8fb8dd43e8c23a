"""Conversions that do nothing in float32: kept where a narrower model needs them, else dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import prunec
from prunec import emit, trace


def source(net: nn.Module, *args: Tensor) -> str:
    """The body of the emitted source, a fixed point, of a model traced in float32.

    Moved to bfloat16 it gives what the original gives.
    """
    found = trace.run(net.eval(), args)
    text = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    slim = emit.load(text, found.weights, "Slim")
    again = trace.run(slim, args)
    assert emit.run(again.graph, class_name="Slim", header="", weights=again.weights) == text
    narrow = [a.bfloat16() if a.is_floating_point() else a for a in args]
    expected = net.bfloat16()(*narrow)
    moved = slim.bfloat16()(*narrow)
    torch.testing.assert_close(moved, expected)
    return text


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.type_as(x)


def test_a_norm_converts_and_its_caller_adds_what_it_had() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = Norm(8)
            self.fc = nn.Linear(8, 8)
            self.last = Norm(8)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.fc(self.norm(x))
            return x + self.last(x)

    text = source(Net(), torch.randn(2, 3, 8))
    assert text.count("class Norm") == 1
    assert text.count(".to(torch.float32)") == 1
    assert text.count(".to(self.weight.dtype)") == 1


def test_a_softmax_in_float32() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            scores = self.q(x) @ x.transpose(1, 2)
            return F.softmax(scores, dim=-1, dtype=torch.float32).to(x.dtype) @ x

    text = source(Net(), torch.randn(2, 3, 8))
    assert "softmax(-1, dtype=torch.float32)" in text
    assert ".to(x.dtype)" in text


def test_angles_of_positions() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("frequencies", torch.rand(4), persistent=False)
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            places = torch.arange(x.shape[1], device=x.device)[:, None].float()
            return self.fc(x) * (places * self.frequencies.float()).cos().to(x.dtype)

    text = source(Net(), torch.randn(2, 300, 4))
    assert "self.frequencies.to(torch.float32)" in text


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.fc(x + mask.to(x.dtype)[..., None])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_a_mask_follows_the_model(dtype: torch.dtype) -> None:
    text = source(Masked(), torch.randn(2, 3, 4), torch.ones(2, 3, dtype=dtype))
    assert "mask.to(x.dtype)" in text
    assert "torch.float32" not in text


def test_what_converts_to_its_own_dtype_is_dropped() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).to(self.b.weight.dtype)).to(x.dtype)

    assert ".to(" not in source(Net(), torch.randn(2, 4))


def test_a_model_of_two_precisions_says_the_other_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)
            self.c = nn.Linear(4, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(self.a(x)).double()).to(x.dtype)

    found = trace.run(Net().eval(), (torch.randn(2, 4),))
    text = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    assert ".to(torch.float64)" in text
    assert "torch.float32" not in text


class Scores(nn.Module):
    """Scores of which all from some key on are masked by the least number."""

    def __init__(self, mask: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        hidden = torch.arange(x.shape[1], device=x.device)[None, :] > x.shape[1] // 2
        return self.mask(x @ x.transpose(1, 2), hidden)


def filled(scores: Tensor, hidden: Tensor) -> Tensor:
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1)


def added(scores: Tensor, hidden: Tensor) -> Tensor:
    mask = torch.where(hidden, scores * 0, torch.finfo(scores.dtype).min)
    return (scores + mask.contiguous()).softmax(-1)


def attended(scores: Tensor, hidden: Tensor) -> Tensor:
    mask = torch.where(hidden, torch.finfo(scores.dtype).min, scores)
    x = scores[:, None]
    return F.scaled_dot_product_attention(x, x, x, mask[:, None])[:, 0]


def all_hidden(scores: Tensor, hidden: Tensor) -> Tensor:
    return scores.masked_fill(hidden | ~hidden, torch.finfo(scores.dtype).min).softmax(-1)


@pytest.mark.parametrize("mask", [filled, added, attended, all_hidden])
def test_the_least_number_of_a_mask_moves_along(mask: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = torch.randn(2, 6, 8)
    spec = "target macs <= 90%\nprune channels { score random(seed=0) }\nrepair none\n"
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), Scores(mask))
    assert "torch.finfo(" in prunec.compile(spec, model=net, args=(x,)).source
    assert source(net, x).count(".dtype).min") == 1


def returned(scores: Tensor, hidden: Tensor) -> Tensor:
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min)


def twice(scores: Tensor, hidden: Tensor) -> Tensor:
    mask = torch.where(hidden, torch.finfo(scores.dtype).min, scores)
    return (mask + mask.transpose(1, 2)).softmax(-1)


def halved(scores: Tensor, hidden: Tensor) -> Tensor:
    return (scores.masked_fill(hidden, torch.finfo(scores.dtype).min) * 0.5).softmax(-1)


def other(scores: Tensor, hidden: Tensor) -> Tensor:
    return scores.masked_fill(hidden, -1e4).softmax(-1)


@pytest.mark.parametrize("mask", [returned, twice, halved, other])
def test_a_number_that_more_than_a_softmax_sees_stays(
    mask: Callable[[Tensor, Tensor], Tensor],
) -> None:
    found = trace.run(Scores(mask).eval(), (torch.randn(2, 6, 8),))
    text = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    assert "finfo" not in text
