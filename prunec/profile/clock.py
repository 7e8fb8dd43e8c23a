"""Measuring: whole modules, and graphs node by node, in turns so that drift hits all alike.

In every turn each subject runs once to warm its caches, then a few times on the clock; the fastest
of these is the turn's time (the rest were disturbed). The result is the median over turns, its
spread the interquartile range.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from prunec.ir.graph import Graph, Node
from prunec.passes.execute import deaths, lookup, resolve
from prunec.passes.latency.units import timed
from prunec.passes.polynomial import Floats
from prunec.profile import gpu, machine
from prunec.profile.inputs import Example
from prunec.spec import Cuda, Device

TURNS = 41
TURN = 10_000_000
"""Nanoseconds that one subject runs in one turn, about."""
FEWEST, MOST = 3, 50
"""Runs of one subject in one turn."""
Clock: TypeAlias = Callable[[], int]
Run: TypeAlias = Callable[[], Sequence[int]]
"""Runs a subject once; the nanoseconds of its parts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured time in nanoseconds: median over turns, interquartile range, number of runs."""

    ns: int
    spread: int
    count: int


def measure(
    modules: Sequence[nn.Module],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    device: Device,
    *,
    turns: int = TURNS,
    turn: int = TURN,
    clock: Clock = perf_counter_ns,
) -> tuple[Sample, ...]:
    """The time of one forward of each module, all measured in the same turns.

    ``args`` and ``kwargs`` are on the CPU; for `Cuda` they and the modules are moved there. A
    module's own modes are left as they are; gradients are off.
    """
    with machine.ready(device) as place:
        if isinstance(device, Cuda):
            runs = [gpu.module(m.to(place), args, kwargs) for m in modules]
        else:
            runs = [_timed(m, args, kwargs, clock) for m in modules]
        found = interleaved(runs, turns=turns, turn=turn)
    return tuple(samples[0] for samples in found)


def survey(
    graphs: Sequence[tuple[Graph, Mapping[str, torch.Tensor]]],
    modules: Sequence[nn.Module],
    example: Example,
    device: Device,
    *,
    turns: int,
    turn: int,
    clock: Clock = perf_counter_ns,
) -> tuple[list[list[Sample]], list[Sample]]:
    """The time of every node that runs a kernel (`timed`) of some graphs, with their weights; and
    that of some modules, in the same turns.

    Nodes are timed where they are, in a run of the whole graph: their inputs are as warm, their
    weights as cold, as in the model.
    """
    with machine.ready(device) as place:
        if isinstance(device, Cuda):
            runs: list[Run] = [
                gpu.nodes(graph, weights, example.tensors) for graph, weights in graphs
            ]
            runs += [gpu.module(m.to(place), example.args, example.kwargs) for m in modules]
        else:
            runs = [Runner(graph, weights, example.tensors, clock) for graph, weights in graphs]
            runs += [_timed(m, example.args, example.kwargs, clock) for m in modules]
        found = interleaved(runs, turns=turns, turn=turn)
    return found[: len(graphs)], [samples[0] for samples in found[len(graphs) :]]


def interleaved(runs: Sequence[Run], *, turns: int, turn: int) -> list[list[Sample]]:
    """The times of the parts of every subject; see the module."""
    repeats = [_repeats(run, turn) for run in runs]
    best: list[list[Floats]] = [[] for _ in runs]
    order = list(range(len(runs)))
    shuffle = random.Random(0).shuffle
    for _ in range(turns):
        shuffle(order)
        for at in order:
            runs[at]()
            found = np.array([runs[at]() for _ in range(repeats[at])], dtype=np.float64)
            best[at].append(found.min(axis=0))
    return [
        _samples(np.stack(rows), turns * count) for rows, count in zip(best, repeats, strict=True)
    ]


class Runner:
    """Runs a graph node by node; calling it gives the nanoseconds of every timed node.

    A node's time includes the release of the values that die with it.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, torch.Tensor],
        inputs: Sequence[torch.Tensor],
        clock: Clock = perf_counter_ns,
    ) -> None:
        dying = deaths(graph, graph.nodes)
        self.steps: list[tuple[Node, Callable[..., Any], tuple[str, ...], bool]] = [
            (node, lookup(node.op), dying[node.name], timed(node)) for node in graph.nodes
        ]
        self.weights, self.clock = weights, clock
        self.inputs = {i.name: x for i, x in zip(graph.inputs, inputs, strict=True)}

    def __call__(self) -> list[int]:
        values: dict[str, Any] = dict(self.inputs)
        clock, weights, times = self.clock, self.weights, []
        for node, function, dying, counts in self.steps:
            args = [resolve(a, values, weights) for a in node.args]
            kwargs = {k: resolve(a, values, weights) for k, a in node.kwargs}
            start = clock()
            value = function(*args, **kwargs)
            spent = clock() - start
            values[node.name] = value
            del args, kwargs, value
            start = clock()
            for name in dying:
                del values[name]
            if counts:
                times.append(spent + clock() - start)
        return times


def _timed(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], clock: Clock) -> Run:
    def run() -> Sequence[int]:
        start = clock()
        module(*args, **kwargs)
        return (clock() - start,)

    return run


def _repeats(run: Run, turn: int) -> int:
    run()
    once = max(1, sum(run()))
    return min(MOST, max(FEWEST, turn // once))


def _samples(times: Floats, count: int) -> list[Sample]:
    """Samples of the parts: float64[turns, parts]."""
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
    return [
        Sample(round(m), round(h - lo), count)
        for lo, m, h in zip(low.tolist(), middle.tolist(), high.tolist(), strict=True)
    ]
