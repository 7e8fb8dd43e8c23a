"""Movements: any chain of them comes to one that computes the same, dynamic sizes included."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from prunec import emit, trace
from prunec.emit import canonical, movement, moves, sizes
from prunec.emit.movement import Merge, Move, Permute, Reshape, Split, Squeeze, Unsqueeze
from prunec.emit.sizes import Size
from prunec.ir.graph import TensorType

SIZES = (1, 1, 2, 3, 4, 6, 8)


def applied(x: Tensor, row: Iterable[Move]) -> Tensor:
    """What torch makes of moves."""
    for move in row:
        match move:
            case Permute(order=order):
                x = x.permute(order)
            case Split(dim=dim, sizes=parts):
                x = x.unflatten(dim, [s.example for s in parts])
            case Merge(first=first, last=last):
                x = x.flatten(first, last)
            case Reshape(sizes=wanted):
                x = x.reshape([s.example for s in wanted])
            case Unsqueeze(dim=dim):
                x = x.unsqueeze(dim)
            case Squeeze(dim=dim):
                x = x.squeeze(dim)
    return x


def factors(number: int, rng: random.Random) -> list[int]:
    found = []
    while rng.random() < 0.6:
        found.append(rng.choice([d for d in range(1, number + 1) if number % d == 0]))
        number //= found[-1]
    return [*found, number]


def any_move(shape: Sequence[int], rng: random.Random) -> Move:
    """A move that a tensor of this shape allows."""
    rank, kind = len(shape), rng.choice("permute split merge unsqueeze squeeze view view".split())
    if kind == "permute":
        return Permute(tuple(rng.sample(range(rank), rank)))
    if kind == "split":
        dim = rng.randrange(rank)
        parts = tuple(map(sizes.fixed, factors(shape[dim], rng)))
        return Split(dim, parts, rng.choice([None, 0]))
    if kind == "merge" and rank > 1:
        first = rng.randrange(rank - 1)
        return Merge(first, rng.randrange(first + 1, rank))
    if kind == "unsqueeze":
        return Unsqueeze(rng.randrange(rank + 1))
    if kind == "squeeze" and 1 in shape and rank > 1:
        return Squeeze(rng.choice([i for i, n in enumerate(shape) if n == 1]))
    total = torch.Size(shape).numel()
    split = [f for n in shape for f in (factors(n, rng) if rng.random() < 0.4 else [n])]
    wanted = split if rng.random() < 0.6 else factors(total, rng)
    return Reshape(tuple(map(sizes.fixed, wanted)))


def chain(seed: int) -> tuple[Tensor, list[Move], movement.Movement]:
    rng = random.Random(seed)
    shape = [rng.choice(SIZES) for _ in range(rng.randrange(1, 5))]
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    found, row = movement.identity(map(sizes.fixed, shape)), list[Move]()
    for _ in range(rng.randrange(1, 6)):
        move = any_move([s.example for s in found.sizes], rng)
        after = movement.then(found, move)
        if after is None:
            break
        found, row = after, [*row, move]
    return x, row, found


@pytest.mark.parametrize("start", range(0, 2000, 500))
def test_the_canonical_chain_does_what_the_chain_does_and_stays(start: int) -> None:
    for seed in range(start, start + 500):
        x, row, found = chain(seed)
        wanted, short = applied(x, row), canonical.run(found)
        assert tuple(s.example for s in found.sizes) == wanted.shape
        assert torch.equal(applied(x, short), wanted), seed
        again = movement.follow(movement.identity(found.source), short)
        assert again is not None
        assert canonical.run(again) == short, seed


N, T = Size(1, ("N",), 11), Size(1, ("T",), 13)


def number(n: int) -> Size:
    return sizes.fixed(n)


def heads(n: int) -> list[Move]:
    return [Reshape((N, T, number(n), number(8))), Permute((0, 2, 1, 3))]


@pytest.mark.parametrize("n", [1, 2])
def test_one_head_reads_as_several_do(n: int) -> None:
    start = movement.identity((N, T, number(8 * n)))
    found = movement.follow(start, heads(n))
    assert found is not None
    split = Split(2, (number(n), number(8)))
    assert canonical.run(found) == (split, Permute((0, 2, 1, 3)))
    back = movement.follow(found, [Permute((0, 2, 1, 3)), Reshape((N, T, number(8 * n)))])
    assert back is not None
    assert canonical.run(back) == ()


@pytest.mark.parametrize("n", [1, 2])
def test_one_window_reads_as_several_do(n: int) -> None:
    start = movement.identity((N, number(7 * n), number(7 * n), number(96)))
    split = (N, number(n), number(7), number(n), number(7), number(96))
    merged = (N * number(n * n), number(49), number(96))
    row = [Reshape(split), Permute((0, 1, 3, 2, 4, 5)), Reshape(merged)]
    found = movement.follow(start, row)
    assert found is not None
    assert canonical.run(found) == tuple(row)


def test_a_batch_that_is_merged_with_heads_and_split_again_is_left_alone() -> None:
    start = movement.identity((number(17), N, number(8)))
    row: list[Move] = [
        Reshape((number(17), N * number(2), number(4))),
        Permute((1, 0, 2)),
        Reshape((N, number(2), number(17), number(4))),
    ]
    found = movement.follow(start, row)
    assert found is not None
    split = Split(2, (number(2), number(4)))
    assert canonical.run(found) == (split, Permute((1, 2, 0, 3)))


def test_sizes_that_share_no_factors_have_no_movement() -> None:
    start = movement.identity((number(6), number(4)))
    assert movement.then(start, Reshape((number(4), number(6)))) is None


@pytest.mark.parametrize("text", [None, "N", "4*N", "2*N*T", "N//2", "T + 1"])
def test_a_size_reads_back_as_it_was(text: str | None) -> None:
    (size,) = sizes.of(TensorType((88,), "float32", (text,)))
    assert size.text == text
    assert size.example == 88


def test_dynamic_sizes_divide_exactly_or_not_at_all() -> None:
    assert (N * T * number(6)).over(N * number(2)) == T * number(3)
    assert N.over(T) is None
    assert N.over(number(11)) is None


def test_new_dimensions_in_a_row_cost_one_call() -> None:
    assert moves.cost([Unsqueeze(0), Unsqueeze(1), Permute((1, 0))]) == 2


class Movements(nn.Module):
    """Chains that a person would not have written."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k, v = self.linear(x).unflatten(-1, (3, 4)).movedim(-2, 0).contiguous().unbind()
        n, t = x.shape[:2]
        q = q.reshape(n, t, 1, 4).transpose(1, 2).unsqueeze(2).squeeze(2)
        same = k.transpose(0, 1).contiguous().view(t, n * 2, 2).view(t, n, 4).transpose(0, 1)
        mask = x.new_ones([], dtype=torch.bool) & (x > 0)
        norm = x / x.norm(dim=-1, keepdim=True).expand_as(x)
        flat = nn.functional.linear(v.transpose(0, 1).reshape(t * n, 4), self.linear.weight[:, :4])
        return q, same, mask, norm, flat.view(t, n, 12).transpose(0, 1)


def forward_of(source: str) -> Iterator[str]:
    body = source.partition("def forward(self, x):\n")[2].partition("\n\n\n")[0]
    return (line.strip() for line in body.splitlines())


def test_a_model_keeps_only_the_movements_that_do_something() -> None:
    model, x = Movements().eval(), torch.randn(3, 5, 8)
    traced = trace.run(model, (x,), {})
    source = emit.run(traced.graph, class_name="Slim", header="", weights=traced.weights)
    text = "\n".join(forward_of(source))
    assert ".chunk(3, -1)" in text
    assert ".unflatten(2, (1, -1)).transpose(1, 2)" in text
    for word in ("contiguous", "squeeze", "new_ones", "expand", "reshape", "view"):
        assert word not in text
    names: dict[str, type[nn.Module]] = {}
    exec(compile(source, "<emitted>", "exec"), names)
    slim = names["Slim"]()
    slim.load_state_dict(model.state_dict())
    for size in (2, 4):
        y = torch.randn(size, 5, 8)
        for a, b in zip(slim(y), model(y), strict=True):
            assert torch.allclose(a, b, atol=1e-6)
    again = trace.run(slim.eval(), (x,), {})
    after = emit.run(again.graph, class_name="Slim", header="", weights=again.weights)
    assert after == source
