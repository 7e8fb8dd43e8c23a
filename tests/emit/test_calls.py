"""Spellings: what operators read like, and that they still compute the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec import emit, trace

Function = Callable[[Tensor], object]

SPELLINGS: dict[str, Function] = {
    # arithmetic
    "x + 1": lambda x: 1 + x,
    "1 - x": lambda x: 1 - x,
    "-x": lambda x: -x,
    "x / x.shape[0]": lambda x: x / x.shape[0],
    "x.add(x.abs(), alpha=2)": lambda x: torch.add(x, x.abs(), alpha=2),
    'x.div(2.0, rounding_mode="floor")': lambda x: torch.div(x, 2.0, rounding_mode="floor"),
    "(x + 1) * (x - 1)": lambda x: (x + 1) * (x - 1),
    "x % 2": lambda x: x % 2,
    "x.pow(2)": lambda x: x**2,
    "(x > 0) & ~(x > 1)": lambda x: (x > 0) & ~(x > 1),
    "x.mT @ x": lambda x: x.mT @ x,
    # reductions
    "x.mean((2, 3))": lambda x: x.mean((2, 3)),
    "x.mean()": lambda x: x.mean(),
    "x.sum(1, keepdim=True)": lambda x: x.sum(1, keepdim=True),
    "x.amax(1)": lambda x: x.amax(1),
    "x.max(1)[0]": lambda x: x.max(1)[0],
    "x.argmax(1)": lambda x: x.argmax(1),
    "x.var(1, correction=0)": lambda x: x.var(1, correction=0),
    "x.cumsum(1)": lambda x: x.cumsum(1),
    "torch.linalg.vector_norm(x, dim=1, keepdim=True)": lambda x: torch.linalg.vector_norm(
        x, dim=1, keepdim=True
    ),
    "x.topk(2, 1)[1]": lambda x: x.topk(2, 1).indices,
    "x.flatten(1).stft(4, return_complex=True, center=False)": lambda x: torch.stft(
        x.flatten(1), 4, center=False, return_complex=True
    ),
    # shapes
    "x.flatten(1)": lambda x: x.view(x.shape[0], -1),
    "x.flatten(1, 2)": lambda x: x.reshape(x.shape[0], 24, 5),
    "x.unflatten(1, (2, -1))": lambda x: x.view(x.shape[0], 2, 3, 4, 5),
    "x.unflatten(1, (-1, 3))": lambda x: x.view(x.shape[0], -1, 3, 4, 5),
    "x.permute(0, 2, 3, 1)": lambda x: x.permute(0, 2, 3, 1),
    "x.unsqueeze(2).expand(-1, -1, 7, -1, -1)": lambda x: x[:, :, None].expand(-1, 6, 7, 4, 5),
    "x.repeat(1, 2, 1, 1)": lambda x: x.repeat(1, 2, 1, 1),
    "x.repeat_interleave(2, 1)": lambda x: x.repeat_interleave(2, 1),
    "x.roll((1, -1), (1, 2))": lambda x: x.roll((1, -1), (1, 2)),
    "x.flip(1, 2)": lambda x: x.flip((1, 2)),
    "x.unsqueeze(1)": lambda x: x.unsqueeze(1),
    "x": lambda x: x.unsqueeze(1).squeeze(1),
    "x[:, None, None]": lambda x: x.view(x.shape[0], 1, 1, 6, 4, 5),
    "x.unflatten(1, (1, -1))": lambda x: x.view(x.shape[0], 1, 6, 4, 5),
    "x.transpose(1, 2).flatten(2)": lambda x: x.permute(0, 2, 1, 3).reshape(x.shape[0], 4, 30),
    "x.flatten(2).transpose(1, 2)": lambda x: x.permute(0, 2, 3, 1).flatten(1, 2),
    "x @ x.transpose(-2, -1)": lambda x: x @ x.transpose(2, 3),
    "F.relu(x).transpose(1, 2) * 2": lambda x: x.relu().transpose(1, 2).contiguous() * 2,
    "x.movedim(1, 3)": lambda x: x.movedim(1, 3),
    # pieces
    "x[:, 1:, ::2]": lambda x: x[:, 1:, ::2],
    "x[..., -1]": lambda x: x[..., -1],
    "x[:, None, 2]": lambda x: x[:, None, 2],
    "x.split((2, 4), 1)[1]": lambda x: torch.split(x, [2, 4], 1)[1],
    "x.chunk(3, 1)[2]": lambda x: x.chunk(3, 1)[2],
    "torch.cat([x, x], 1)": lambda x: torch.cat([x, x], 1),
    "torch.stack([x, x], 1)": lambda x: torch.stack([x, x], 1),
    "torch.where(x > 0, x, 0.0)": lambda x: torch.where(x > 0, x, 0.0),
    "x.masked_fill(x > 0, 1.0)": lambda x: x.masked_fill(x > 0, 1.0),
    "x.gather(1, x.argsort(1))": lambda x: x.gather(1, x.argsort(1)),
    "F.pad(x, (1, 2), value=1.5)": lambda x: F.pad(x, (1, 2), value=1.5),
    "x.tril()": lambda x: x.tril(),
    # activations
    "F.relu(x)": F.relu,
    'F.gelu(x, approximate="tanh")': lambda x: F.gelu(x, approximate="tanh"),
    "F.silu(x)": F.silu,
    "F.relu6(x)": F.relu6,
    "F.leaky_relu(x, negative_slope=0.3)": lambda x: F.leaky_relu(x, 0.3),
    "F.softplus(x)": F.softplus,
    "F.glu(x, dim=1)": lambda x: F.glu(x, 1),
    "torch.sigmoid(x)": torch.sigmoid,
    "x.softmax(1)": lambda x: x.softmax(1),
    "x.log_softmax(-1)": lambda x: F.log_softmax(x, -1),
    "x.clamp(min=0.5)": lambda x: x.clamp(min=0.5),
    # pools and images
    "F.max_pool2d(x, 2)": lambda x: F.max_pool2d(x, 2),
    "F.max_pool2d(x, 3, stride=1, padding=1)": lambda x: F.max_pool2d(x, 3, 1, 1),
    "F.avg_pool2d(x, 2, ceil_mode=True)": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "F.adaptive_avg_pool2d(x, 1)": lambda x: F.adaptive_avg_pool2d(x, 1),
    "F.adaptive_max_pool2d(x, (2, 1))": lambda x: F.adaptive_max_pool2d(x, (2, 1)),
    "F.interpolate(x, scale_factor=2)": lambda x: F.interpolate(x, scale_factor=2),
    'F.interpolate(x, size=(8, 9), mode="bilinear", align_corners=True)': lambda x: F.interpolate(
        x, size=(8, 9), mode="bilinear", align_corners=True
    ),
    "F.unfold(x, 2, padding=1)": lambda x: F.unfold(x, 2, padding=1),
    "F.pixel_unshuffle(x[..., 1:], 2)": lambda x: F.pixel_unshuffle(x[..., 1:], 2),
    "F.group_norm(x, 3)": lambda x: F.group_norm(x, 3),
    "F.layer_norm(x, (5,))": lambda x: F.layer_norm(x, (5,)),
    # new tensors
    "x.new_zeros((x.shape[0], 3))": lambda x: x.new_zeros((x.shape[0], 3)),
    "torch.zeros(x.shape[0], 3, device=x.device)": lambda x: torch.zeros(x.shape[0], 3),
    "torch.arange(x.shape[0], device=x.device)": lambda x: torch.arange(x.shape[0]),
    "torch.ones_like(x)": torch.ones_like,
    "torch.full((2, 3), 0.5, device=x.device)": lambda x: torch.full((2, 3), 0.5),
    # products
    'torch.einsum("bchw,bdhw->bcd", x, x)': lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    "torch.bmm(x[:, 0], x[:, 1].transpose(1, 2))": lambda x: torch.bmm(
        x[:, 0], x[:, 1].transpose(1, 2)
    ),
    "F.scaled_dot_product_attention(x, x, x, scale=0.5)": lambda x: F.scaled_dot_product_attention(
        x, x, x, scale=0.5
    ),
    "x.to(torch.int64)": lambda x: x.long(),
    "(x > 0).to(x.dtype)": lambda x: (x > 0).float(),
}


class Returns(nn.Module):
    """What some functions make of one input."""

    def __init__(self, *functions: Function) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: Tensor) -> object:
        results = tuple(function(x) for function in self.functions)
        return results if len(results) > 1 else results[0]


def written(net: nn.Module) -> str:
    graph = trace.run(net.eval(), (torch.randn(2, 6, 4, 5),)).graph
    return emit.run(graph, class_name="Slim", header="")


@pytest.mark.parametrize("name", SPELLINGS)
def test_reads_as_a_person_would_write_it(name: str) -> None:
    source = written(Returns(SPELLINGS[name]))
    body = source.partition("def forward(self, x):\n")[2].partition("\n\n\ndef load")[0]
    assert body == f"        return {name}"


@pytest.mark.parametrize("part", range(4))
def test_computes_the_same_and_stays(part: int) -> None:
    net = Returns(*list(SPELLINGS.values())[part::4])
    source = written(net)
    model = emit.load(source, {}, "Slim")
    for batch in (2, 3):
        x = torch.randn(batch, 6, 4, 5)
        torch.testing.assert_close(model(x), net(x))
    assert written(model) == source
