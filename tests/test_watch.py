"""A watch counts each moment inside the watched modules once, and leaves no hook behind."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from prunec import watch as watches
from prunec.watch import watch


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: int = 0

    def perf_counter_ns(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(watches, "time", found)
    return found


class Slow(nn.Module):
    """Takes its time; ``inner``, if any, is called inside."""

    def __init__(self, clock: Clock, takes: int, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.clock, self.takes, self.inner = clock, takes, inner

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += self.takes
        return x if self.inner is None else self.inner(x)


class Net(nn.Module):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.one = Slow(clock, 1, inner=Slow(clock, 20))
        self.many = nn.ModuleList([Slow(clock, 300), Slow(clock, 4000)])
        self.other = Slow(clock, 50_000)

    def forward(self, x: Tensor) -> Tensor:
        for each in self.many:
            x = each(x)
        return self.other(self.one(x))


@pytest.mark.parametrize(
    ("paths", "spent", "entered"),
    [
        (["one", "one.inner"], 21, ["one"]),
        (["one.inner"], 20, ["one.inner"]),
        (["many", "many.0", "many.1"], 4300, ["many.0", "many.1"]),
        (["", "one", "other"], 54_321, [""]),
        (["absent"], 0, []),
    ],
)
def test_the_outermost_modules_are_timed_and_no_other(
    clock: Clock, paths: list[str], spent: int, entered: list[str]
) -> None:
    net = Net(clock)
    with watch(net, paths) as found:
        net(torch.zeros(1))
        assert found.take() == spent
        assert list(found.entered) == entered


def test_several_calls_add_up_and_a_take_begins_anew(clock: Clock) -> None:
    net = Net(clock)
    with watch(net, {"one.inner"}) as found:
        net(torch.zeros(1))
        net(torch.zeros(1))
        assert found.take() == 40
        assert found.take() == 0
        net(torch.zeros(1))
        assert found.take() == 20


def test_a_module_at_two_paths_counts_once(clock: Clock) -> None:
    net = Net(clock)
    assert net.one.inner is not None
    net.many = nn.ModuleList([net.one.inner])
    with watch(net, ["one", "one.inner", "many.0"]) as found:
        net(torch.zeros(1))
        assert found.take() == 41


def test_no_hook_is_left(clock: Clock) -> None:
    net = Net(clock)
    with pytest.raises(TypeError), watch(net, ["one", ""]):
        net(None, None)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def test_the_time_is_real() -> None:
    with watch(nn.Linear(64, 64), [""]) as found:
        assert found.take() == 0
    net = nn.Linear(64, 64)
    with watch(net, [""]) as found:
        net(torch.zeros(64, 64))
        assert 0 < found.take() < 10**10
