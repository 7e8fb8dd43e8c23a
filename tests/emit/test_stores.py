"""Stores: what is written in place, and what must not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunec import emit, trace

X = torch.randn(2, 5, 6)


class Model(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.function = function
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> object:
        return self.function(x, self.bias)


def source_of(model: nn.Module) -> tuple[str, dict[str, Tensor]]:
    found = trace.run(model.eval(), (X,), {})
    weights = dict(found.weights)
    return emit.run(found.graph, class_name="Slim", header="", weights=weights), weights


def checked(function: Callable[[Tensor, Tensor], object]) -> str:
    """The emitted source, which computes the same and is emitted again from its own trace."""
    model = Model(function)
    source, weights = source_of(model)
    emitted = emit.load(source, weights, "Slim").eval()
    for size in (2, 3):
        x = torch.randn(size, 5, 6)
        before = x.clone()
        torch.testing.assert_close(emitted(x), model(before.clone()))
        torch.testing.assert_close(x, before)
        gradient(emitted, x)
    again, _ = source_of(emitted)
    assert again == source
    return source


def gradient(emitted: nn.Module, x: Tensor) -> None:
    """Nothing that the gradient needs is overwritten."""
    result = emitted(x.clone().requires_grad_())
    tensors = result if isinstance(result, tuple) else (result,)
    torch.stack([t.sum() for t in tensors]).sum().backward()


def filled(x: Tensor, bias: Tensor) -> Tensor:
    mask = x.new_zeros(5, 6)
    count = 0
    for rows in (slice(0, -2), slice(-2, None)):
        for columns in (slice(0, 3), slice(3, None)):
            mask[rows, columns] = count
            count += 1
    return x + mask


def test_fills_a_part() -> None:
    assert [s for s in lines(checked(filled)) if "] = " in s] == [
        "y[:-2, :3] = 0.0",
        "y[:-2, 3:] = 1.0",
        "y[-2:, :3] = 2.0",
        "y[-2:, 3:] = 3.0",
    ]


def lines(source: str) -> list[str]:
    return [line.strip() for line in source.splitlines()]


def selected(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 2, 1:] = x[:, 0, 1:] * 2
    y[..., 0] = bias[:5]
    return y.exp()


def empty(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, -2:0] = 3
    y[:, 1] = 4
    return y * x


def indexed(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    i = bias.argsort()[:3] % 5
    y[:, i] = x[:, :3]
    return y.exp()


def augmented(x: Tensor, bias: Tensor) -> Tensor:
    y = x @ x.transpose(1, 2)
    y[:, 1:, 1:] += x[:, 1:, :4]
    return y.softmax(-1)


def overlapping(x: Tensor, bias: Tensor) -> Tensor:
    y = x @ x.transpose(1, 2)
    y[:, 1:] = y[:, 1:] + y[:, :-1]
    y[:, 0] *= 2
    y[:, 0] -= bias[:5] / 3
    return y.softmax(-1)


def whole(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:] = bias
    return y + x


PLAIN = {
    selected: ("y[:, 2, 1:] = x[:, 0, 1:] * 2", "y[..., 0] = "),
    empty: ("[:, 1] = 4.0",),
    indexed: ("] = x[:, :3]",),
    augmented: ("[:, 1:, 1:] += x[:, 1:, :4]",),
    overlapping: ("[:, 1:] = x[:, 1:] + x[:, :-1]",),
    whole: (),
}


@pytest.mark.parametrize("function", PLAIN, ids=lambda f: f.__name__)
def test_stores_in_place(function: Callable[[Tensor, Tensor], object]) -> None:
    source = checked(function)
    assert "scatter" not in source
    assert "index_put" not in source
    assert ".clone()" not in source
    for text in PLAIN[function]:
        assert text in source


def to_input(x: Tensor, bias: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = 1
    return x * y


def to_weight(x: Tensor, bias: Tensor) -> Tensor:
    y = bias.clone()
    y[2:4].zero_()
    return x * y * bias


def read_later(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    z = y.clone()
    z[:, 0] = 1
    return z + x * y.sum(-1, keepdim=True)


def view_read_later(x: Tensor, bias: Tensor) -> object:
    y = torch.cat([x, x], -1)
    z = y[:, 1:].clone()
    y[:, 2:] = 1
    return z, y.exp()


def reshaped_read_later(x: Tensor, bias: Tensor) -> object:
    y = x @ x.transpose(1, 2)
    z = y.clone().flatten(1)
    y[:, 2:] = 1
    return (z * 2).sum(-1), y.exp()


def shifted(x: Tensor, bias: Tensor) -> Tensor:
    y = x.softmax(-1)
    y[:, 1:] = y[:, :-1].clone()
    return y.exp()


def two_of_one(x: Tensor, bias: Tensor) -> Tensor:
    y, z = x.new_zeros(5, 6), x.new_zeros(5, 6)
    y[0] = 1
    z[1] = 2
    return x + y * z - y


def returned(x: Tensor, bias: Tensor) -> object:
    y = torch.cat([x, x], -1)
    z = y.clone()
    z[:, 0] = 0
    return y, z


def same_view_twice(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 1:][:, 2:] = x[:, :2]
    return y.exp()


def shared_part(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    a, b = y.chunk(2, -1)
    a += x[..., :3]
    b.fill_(1)
    return y.exp()


def kept_for_the_gradient(x: Tensor, bias: Tensor) -> Tensor:
    y = x.softmax(-1).clone()
    y[:, 0] = 0
    return y.exp()


def read_for_the_gradient(x: Tensor, bias: Tensor) -> Tensor:
    y = torch.cat([x, x], -1)
    z = y.clone()
    z[:, 1:] = y[:, 1:] * y[:, 1:].exp()
    return z.exp()


TRAPS = (
    kept_for_the_gradient,
    read_for_the_gradient,
    shared_part,
    to_input,
    to_weight,
    read_later,
    view_read_later,
    reshaped_read_later,
    shifted,
    two_of_one,
    returned,
    same_view_twice,
)


@pytest.mark.parametrize("function", TRAPS, ids=lambda f: f.__name__)
def test_writes_into_a_copy(function: Callable[[Tensor, Tensor], object]) -> None:
    assert ".clone()" in checked(function)


def accumulated(x: Tensor, bias: Tensor) -> Tensor:
    i = bias.argsort() % 5
    return torch.zeros_like(x).index_put((torch.zeros_like(i), i), x[0, 0], accumulate=True)


def test_leaves_what_accumulates() -> None:
    assert "index_put" in checked(accumulated)
