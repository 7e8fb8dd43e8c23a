"""The order of a forward's steps: it schedules to itself, and steps of a row keep theirs."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunec import emit, trace
from prunec.emit.schedule import Task, order
from tests.emit.test_source import both


def drawn(seed: int) -> tuple[list[Task], frozenset[str]]:
    """A random row of tasks, the last of which returns, and values that may be inlined."""
    rng = random.Random(seed)
    tasks: list[Task] = []
    values: list[str] = ["input"]
    for i in range(rng.randint(1, 24)):
        reads = tuple(rng.choice(values[-6:]) for _ in range(rng.randint(1, 3)))
        made = tuple(f"v{i}_{n}" for n in range(1 if rng.random() < 0.8 else 2))
        row = frozenset({"random"}) if rng.random() < 0.3 else frozenset[str]()
        tasks.append(Task(reads, made, row))
        values += made
    unread = {v for t in tasks for v in t.results} - {r for t in tasks for r in t.reads}
    tasks.append(Task(tuple(sorted(unread)), ()))
    reads = [r for t in tasks for r in t.reads]
    single = [t.results[0] for t in tasks if len(t.results) == 1]
    inlined = {v for v in single if reads.count(v) == 1 and rng.random() < 0.8}
    return tasks, frozenset(inlined)


@pytest.mark.parametrize("seed", range(300))
def test_schedules_to_itself(seed: int) -> None:
    tasks, inlined = drawn(seed)
    found, kept = order(tasks, inlined)
    assert sorted(found) == list(range(len(tasks)))
    moved = [tasks[i] for i in found]
    assert order(moved, inlined) == (list(range(len(tasks))), kept)


@pytest.mark.parametrize("seed", range(300))
def test_makes_before_it_reads_and_keeps_rows(seed: int) -> None:
    tasks, inlined = drawn(seed)
    found, _ = order(tasks, inlined)
    known = {"input"}
    for i in found:
        assert set(tasks[i].reads) <= known
        known.update(tasks[i].results)
    rows = [i for i in found if tasks[i].rows]
    assert rows == sorted(rows)


def test_operands_stand_before_their_reader_in_its_order() -> None:
    tasks = [
        Task(("input",), ("b",)),
        Task(("input",), ("a",)),
        Task(("input",), ("named",)),
        Task(("a", "b", "named"), ("sum",)),
        Task(("sum", "named"), ()),
    ]
    assert order(tasks, frozenset({"a", "b", "sum"}))[0] == [2, 1, 0, 3, 4]


class Gated(nn.Module):
    """Two branches that are made in another order than they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        gate = F.silu(self.gate(x))
        return self.down(gate * up)


def test_branches_move_into_the_expression_that_reads_them() -> None:
    source, _ = both(Gated(), torch.randn(2, 4))
    assert "return self.down(F.silu(self.gate(x)) * self.up(x))" in source


class Noisy(nn.Module):
    """Two random branches, read in another order than they are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Dropout(0.5), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x) + 1
        two = self.two(x) * 2
        return two - one


def test_random_numbers_are_drawn_in_the_same_order() -> None:
    net, x = Noisy(), torch.randn(3, 5)
    _, model = both(net, x)
    net.train()
    model.train()
    torch.manual_seed(0)
    expected = net(x)
    torch.manual_seed(0)
    torch.testing.assert_close(model(x), expected)


class Shared(nn.Module):
    """One norm called twice: its running statistics depend on the order."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.norm(x * 3)
        second = self.norm(x + 5)
        return second * first


def test_running_statistics_see_the_same_order() -> None:
    net, x = Shared(), torch.randn(6, 4)
    found = trace.run(net.eval(), (x,))
    source = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    model = emit.load(source, found.weights, "Slim").train()
    net.train()
    net(x)
    model(x)
    torch.testing.assert_close(dict(model.named_buffers()), dict(net.named_buffers()))
