"""One class for modules that differ in numbers or optional parts; never for those that differ."""

from __future__ import annotations

import ast
import random
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec import emit, trace
from prunec.emit import show
from prunec.emit.construct import Arg, Construct, token
from prunec.emit.expr import LiftedInt


def both(net: nn.Module, *args: Tensor) -> tuple[str, nn.Module]:
    """Source and module of a network; equal results, equal keys, a fixed point."""
    found = trace.run(net.eval(), args)
    source = emit.run(found.graph, class_name="Slim", header="test", weights=found.weights)
    model = emit.load(source, found.weights, "Slim")
    torch.testing.assert_close(model(*args), net(*args))
    assert list(model.state_dict()) == list(net.state_dict())
    again = trace.run(model, args)
    assert emit.run(again.graph, class_name="Slim", header="test", weights=again.weights) == source
    return source, model


def classes(source: str) -> list[str]:
    return [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]


class Options(nn.Module):
    """A block of which every part may be another or be missing."""

    def __init__(self, draw: random.Random, width: int, out: int) -> None:
        super().__init__()
        self.heads, self.scale = draw.choice((1, 2, 3)), draw.choice((None, 0.5, 0.25))
        inner = draw.choice((2, 4)) * self.heads
        self.qkv = nn.Linear(width, 3 * inner, bias=draw.random() < 0.8)
        self.proj = nn.Linear(inner, out)
        self.norm = nn.LayerNorm(width) if draw.random() < 0.7 else nn.Identity()
        self.gate = nn.Linear(out, out) if draw.random() < 0.5 else None
        self.act = draw.choice((nn.ReLU, nn.GELU, nn.Tanh))()
        self.pool, self.shift = draw.choice((1, 3)), draw.choice((0.5, 2.0))
        self.skips = width == out and draw.random() < 0.6

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (
            self.qkv(self.norm(x)).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale).transpose(1, 2).flatten(2)
        y = self.act(self.proj(y))
        if self.gate is not None:
            y = self.gate(y)
        if self.skips:
            y = x + y
        return F.avg_pool1d(y, self.pool, 1, self.pool // 2) * self.shift


class Chain(nn.Sequential):
    """A list that ends early, or with one of several activations."""

    def __init__(self, draw: random.Random, width: int, out: int) -> None:
        last = [draw.choice((nn.ReLU, nn.Sigmoid))()] if draw.random() < 0.7 else []
        super().__init__(nn.Linear(width, out, bias=draw.random() < 0.5), nn.LayerNorm(out), *last)


@pytest.mark.parametrize("seed", range(12))
def test_random_options_compute_the_same_and_stay(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    widths = [6, *(draw.choice((4, 6)) for _ in range(7))]
    blocks: list[nn.Module] = []
    for a, b in pairwise(widths):
        blocks.append(draw.choice((Options, Options, Chain))(draw, a, b))
    source, _ = both(nn.Sequential(*blocks), torch.randn(2, 5, 6))
    assert len(classes(source)) <= 1 + len({type(b) for b in blocks}) * 4


def test_modules_with_weights_that_are_passed_stay_apart() -> None:
    class Pair(nn.Module):
        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first, second
            self.fc1, self.fc2, self.fc3 = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.fc3(self.fc2(self.fc1(self.first(x)))))

    pairs = [Pair(nn.Linear(4, 4), nn.Linear(4, 4)), Pair(nn.LayerNorm(4), nn.LayerNorm(4))]
    source, model = both(nn.Sequential(*pairs), torch.randn(2, 4))
    assert len(classes(source)) == 2
    assert len({id(p) for p in model.parameters()}) == 20


def test_other_operators_are_another_class() -> None:
    class Block(nn.Module):
        def __init__(self, last: bool) -> None:
            super().__init__()
            self.norm, self.fc, self.last = nn.LayerNorm(4), nn.Linear(4, 4), last

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.fc(x)) if self.last else self.fc(self.norm(x))

    source, _ = both(nn.Sequential(Block(True), Block(False)), torch.randn(2, 4))
    assert classes(source) == ["Block", "Block2", "Slim"]


def test_a_multiplication_is_no_addition_left_out() -> None:
    class Block(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.fc, self.how = nn.Linear(4, 4), how

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            return x + y if self.how == "add" else x * y if self.how == "mul" else y

    blocks = [Block(how) for how in ("add", "mul", "none", "add", "mul", "none")]
    source, _ = both(nn.Sequential(*blocks), torch.randn(2, 4))
    assert len(classes(source)) == 3


def test_an_attribute_takes_no_name_that_the_module_holds() -> None:
    class Block(nn.Module):
        def __init__(self, size: int, half: float) -> None:
            super().__init__()
            self.register_buffer("size", torch.randn(4))
            self.offset, self.fc = nn.Parameter(torch.randn(4)), nn.Linear(4, 4)
            self.length, self.half_ = size, half

        def forward(self, x: Tensor) -> Tensor:
            x = F.interpolate(self.fc(x + self.size), size=self.length) + self.half_
            return F.interpolate(x, size=4) * self.offset

    blocks = [Block(3, 0.5), Block(5, 1.5), Block(7, 2.5)]
    source, _ = both(nn.Sequential(*blocks), torch.randn(2, 3, 4))
    assert classes(source) == ["Block", "Slim"]


def linear(*sizes: int, bias: bool = True) -> Arg:
    settings = tuple(Arg(s, noun=n) for s, n in zip(sizes, ("inner", "outer"), strict=True))
    return Arg(Construct("Block", (*settings, Arg(bias, "bias", True))))


@pytest.mark.parametrize(
    ("blocks", "shown"),
    [
        ([linear(4, n) for n in (1, 2, 3)], "nn.Sequential(Block(4, 1), Block(4, 2), Block(4, 3))"),
        (
            [linear(4, n) for n in (1, 2, 3, 2)],
            "nn.Sequential(*[Block(4, outer) for outer in (1, 2, 3, 2)])",
        ),
        ([linear(4, 4)] * 5, "nn.Sequential(*[Block(4, 4) for _ in range(5)])"),
        (
            [linear(9, 4), *(linear(4, n) for n in (1, 2, 3, 2))],
            "nn.Sequential(Block(9, 4), *[Block(4, outer) for outer in (1, 2, 3, 2)])",
        ),
        (
            [linear(4, 1), linear(4, 1, bias=False)] * 2,
            "nn.Sequential(Block(4, 1), Block(4, 1, bias=False), "
            "Block(4, 1), Block(4, 1, bias=False))",
        ),
    ],
)
def test_tables(blocks: list[Arg], shown: str) -> None:
    assert show.run(Construct("nn.Sequential", tuple(blocks))).text == shown


def test_numbers_of_other_types_differ() -> None:
    assert len({token(1), token(True), token(1.0), token((1,)), token((True,))}) == 5


def test_a_lifted_number_equals_nothing_else() -> None:
    lifted = LiftedInt(1, "self.stride")
    assert lifted != 1
    assert lifted != LiftedInt(1, "self.padding")
    assert lifted == LiftedInt(2, "self.stride")
    assert lifted + 1 == 2
