"""Measuring with a clock of our own: turns, medians, spreads; and a graph node by node."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from prunec.profile import clock, kernels, measure
from prunec.profile.clock import Runner, Sample
from prunec.spec import Cpu
from tests.profile.fakes import model


class Clock:
    """Goes on by what the subjects say that they take."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Takes(nn.Module):
    """Takes the next of some times, over and over."""

    def __init__(self, time: Clock, log: list[str], name: str, *times: int) -> None:
        super().__init__()
        self.time, self.log, self.name, self.times = time, log, name, list(times)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.log.append(self.name)
        self.times.append(self.times.pop(0))
        self.time.now += self.times[-1]
        return x


def test_a_disturbed_run_does_not_count() -> None:
    time, log = Clock(), list[str]()
    quiet = Takes(time, log, "quiet", 100)
    disturbed = Takes(time, log, "disturbed", 200, 900, 200)
    x = (torch.zeros(1),)
    found = measure([quiet, disturbed], x, {}, Cpu(), turns=5, turn=600, clock=time)
    assert [s.ns for s in found] == [100, 200]
    assert [s.spread for s in found] == [0, 0]
    assert found[0].count == 5 * 6


def test_subjects_take_turns() -> None:
    time, log = Clock(), list[str]()
    subjects = [Takes(time, log, name, 100) for name in "abc"]
    measure(subjects, (torch.zeros(1),), {}, Cpu(), turns=4, turn=300, clock=time)
    turns = [
        name for at, name in enumerate(log[6:]) if at % 4 == 0
    ]  # one to warm, three that count
    assert len(log) == 6 + 3 * 4 * 4
    assert all(set(turns[at : at + 3]) == set("abc") for at in range(0, 12, 3))


def test_threads_are_set_and_set_back() -> None:
    seen: list[int] = []

    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            assert torch.is_inference_mode_enabled()
            return x

    before = torch.get_num_threads()
    measure([Looks()], (torch.zeros(1),), {}, Cpu(threads=2), turns=1, turn=1)
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


def test_spread_is_the_interquartile_range() -> None:
    times = iter([7, 7, *[v for t in (10, 20, 30, 40, 50) for v in (1, t, t + 9, t)]])

    def run() -> Sequence[int]:
        return (next(times),)

    (found,) = clock.interleaved([run], turns=5, turn=14)
    assert found == [Sample(30, 20, 15)]


def test_a_graph_is_timed_node_by_node() -> None:
    net = model()
    steps = iter(range(10**6))
    runner = Runner(
        net.traced.graph, net.traced.weights, (torch.randn(1, 3, 8, 8),), lambda: next(steps)
    )
    times = runner()
    assert len(times) == len(net.traced.graph.nodes)
    assert set(times) == {2}, "every node reads the clock four times"


def test_a_runner_computes_what_the_model_does() -> None:
    net = model()
    x = torch.randn(1, 3, 8, 8)
    seen: dict[str, torch.Tensor] = {}
    runner = Runner(net.traced.graph, net.traced.weights, (x,))
    last = runner.steps[-1]
    function = last[1]

    def spy(*args: object, **kwargs: object) -> object:
        seen["out"] = function(*args, **kwargs)
        return seen["out"]

    runner.steps[-1] = (last[0], spy, *last[2:])
    with torch.no_grad():
        runner()
        assert torch.equal(seen["out"], net.subject.module(x))


SMALL = "aten.conv2d.default(float32[1, a, 14, 14], float32[b, a, 3, 3], None, (1, 1), (1, 1))"


@pytest.mark.skipif(not hasattr(torch._C, "_select_conv_backend"), reason="torch does not say")
def test_where_torch_changes_kernels() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        found = kernels.breaks(SMALL, [256, 256])
    finally:
        torch.set_num_threads(before)
    assert len(found) == 2
    for start in found[0]:
        assert 1 < start <= 256
    assert kernels.breaks("aten.relu.default(float32[1, a])", [64]) == [[]]
    assert kernels.breaks(SMALL.replace("(1, 1))", "'same')"), [8, 8]) == [[], []]


def test_changes_are_found_to_the_unit() -> None:
    def kernel(size: int) -> str:
        return "a" if size < 105 else "b" if size < 200 else "c"

    assert kernels._changes(kernel, 256) == [105, 200]
    assert kernels._changes(kernel, 104) == []
    assert kernels._changes(kernel, 1) == []
