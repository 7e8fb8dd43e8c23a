"""Measuring on CUDA: a CUDA graph per subject, timed by events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import nn

from prunec.ir.graph import Graph
from prunec.passes.execute import evaluate, lookup, resolve
from prunec.passes.latency.units import timed

REPLAYS = 5
"""Replays between two events: one alone is shorter than an event can tell."""


def module(
    net: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[[], Sequence[int]]:
    """Runs a module that is on the device; the nanoseconds of one forward."""
    given = (tuple(args), dict(kwargs))
    here, named = pytree.tree_map_only(torch.Tensor, lambda t: t.cuda(), given)
    return _captured(lambda: net(*here, **named))


def _captured(call: Callable[[], Any]) -> Callable[[], Sequence[int]]:
    """What a call launches, as a graph that is replayed; the stream is warmed first, as capture
    asks.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()

    def run() -> Sequence[int]:
        start, end = (_event() for _ in range(2))
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        end.record()
        end.synchronize()
        return (round(start.elapsed_time(end) * 1e6 / REPLAYS),)

    return run


def nodes(
    graph: Graph, weights: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]
) -> Callable[[], Sequence[int]]:
    """Runs every node that runs a kernel, each from a CUDA graph of its own, on the values that it
    has in a run of the whole; the nanoseconds of each.
    """
    here = {name: tensor.cuda() for name, tensor in weights.items()}
    values: dict[str, Any] = {i.name: x.cuda() for i, x in zip(graph.inputs, inputs, strict=True)}
    runs = []
    for node in graph.nodes:
        args, values[node.name] = evaluate(node, values, here)
        if timed(node):
            kwargs = {k: resolve(a, values, here) for k, a in node.kwargs}
            runs.append(_captured(partial(lookup(node.op), *args, **kwargs)))
    return lambda: [run()[0] for run in runs]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
