"""The stopwatch: what the dense and the emitted model take on a device, measured in turns.

What a forward takes does not depend on the weights' values (denormal numbers aside, which are
flushed to zero meanwhile), so none are repaired for this.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.formats import Slim
from prunec.passes.allocate import Budget
from prunec.planning import Planned
from prunec.profile import clock, inputs, machine
from prunec.profile.clock import Sample
from prunec.profile.inputs import Example
from prunec.spec import Cuda, Device, Spec, Target
from prunec.trace.capture import evaluating
from prunec.watch import Watch, watch


@dataclass(frozen=True, slots=True)
class Measured:
    """Nanoseconds of one forward, dense and slim: medians over turns, with their interquartile
    ranges.
    """

    dense: Sample
    slim: Sample

    @property
    def noise(self) -> float:
        """The larger spread, relative to its median."""
        return max(s.spread / s.ns if s.ns else 0.0 for s in (self.dense, self.slim))


def check(spec: Spec) -> None:
    """Refuse a target that could not be measured, before anything else is done.

    Raises:
        PruneError: P0624 if there is no such device here, P0632 for modules on a GPU.
    """
    on_gpu = [t for t in spec.targets if isinstance(t.device, Cuda)]
    scoped = [_on_gpu(t) for t in on_gpu if t.selector is not None]
    if scoped:
        raise PruneError(*scoped)
    if on_gpu and not torch.cuda.is_available():
        raise PruneError(*map(_no_gpu, on_gpu))


def run(planned: Planned, made: Slim, target: Target, budget: Budget) -> Measured:
    """Measure a latency target: the whole models, or the modules in its scope.

    Raises:
        PruneError: P0625 if the model cannot take such a batch, P0631 where the modules in the
            scope are not called.
    """
    model, device = planned.model, target.device
    assert device is not None, "a latency is one on a device"
    example = _wrapped(inputs.example(model, device.batch), planned)
    dense = model.subject.module
    if isinstance(device, Cuda):
        dense = copy.deepcopy(dense)
    with evaluating(dense):
        modules = (dense, made.module)
        if budget.scope is None or "" in budget.scope:
            samples = [*clock.measure(modules, example.args, example.kwargs, device)]
        else:
            paths = _outermost(dense, made, example, budget)
            samples = _inside(modules, example, paths, device)
    return Measured(*samples)


def _wrapped(example: Example, planned: Planned) -> Example:
    """The same inputs for both models: integers that are renumbered stay below the count of those
    kept.
    """
    kept = planned.renumbered
    if not kept:
        return example
    graph = planned.model.traced.graph
    named = zip(graph.inputs, example.tensors, strict=True)
    rows = {id(t): int(kept[i.name].sum()) for i, t in named if i.name in kept}

    def wrap(value: Tensor) -> Tensor:
        return value % rows[id(value)] if id(value) in rows else value

    args, kwargs = pytree.tree_map_only(Tensor, wrap, (example.args, dict(example.kwargs)))
    return Example(args, kwargs, tuple(wrap(t) for t in example.tensors))


def _inside(
    modules: Sequence[nn.Module], example: Example, paths: Collection[str], device: Device
) -> list[Sample]:
    """The time of one forward of each module inside its submodules at some paths."""
    with ExitStack() as stack:
        stack.enter_context(machine.ready(device))
        watches = [stack.enter_context(watch(module, paths)) for module in modules]
        runs = [_watched(m, example, w) for m, w in zip(modules, watches, strict=True)]
        found = clock.interleaved(runs, turns=clock.TURNS, turn=clock.TURN)
    return [samples[0] for samples in found]


def _watched(module: nn.Module, example: Example, watched: Watch) -> clock.Run:
    def run() -> Sequence[int]:
        module(*example.args, **example.kwargs)
        return (watched.take(),)

    return run


def _outermost(dense: nn.Module, made: Slim, example: Example, budget: Budget) -> frozenset[str]:
    """The outermost modules in a budget's scope that a forward of the dense model calls.

    Raises:
        PruneError: P0631 if there are none, or if the emitted module calls one of them no more
            although it still computes what is in it.
    """
    called = _called(dense, example, budget.scope or ())
    if not called:
        raise PruneError(_never_called(budget))
    left = {call.path for node in made.graph.nodes for call in node.scope}
    gone = [path for path in called - _called(made.module, example, called) if path in left]
    if gone:
        raise PruneError(_written_out(budget, sorted(gone)))
    return called


def _called(module: nn.Module, example: Example, paths: Collection[str]) -> frozenset[str]:
    with torch.inference_mode(), watch(module, paths) as watched:
        module(*example.args, **example.kwargs)
        return frozenset(watched.entered)


def _no_gpu(target: Target) -> Diagnostic:
    return Diagnostic(
        "P0624",
        f"there is no `{target.device}` here to measure the emitted model on",
        span=target.span,
        help="compile on a machine that has one; `prunec plan` goes by the profile alone",
    )


def _on_gpu(target: Target) -> Diagnostic:
    return Diagnostic(
        "P0632",
        "the time inside of modules cannot be measured on a GPU",
        span=target.span,
        help="bound the latency of the whole model, or compile the modules as a `part`",
    )


def _never_called(budget: Budget) -> Diagnostic:
    return Diagnostic(
        "P0631",
        f"target `{budget.text}` selects modules that a forward never calls",
        span=budget.span,
        help="select the modules that hold them: the time is that between a call and its return",
    )


def _written_out(budget: Budget, paths: Sequence[str]) -> Diagnostic:
    more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    listed = ", ".join(f"`{path}`" for path in paths[:4]) + more
    return Diagnostic(
        "P0631",
        f"target `{budget.text}` selects modules that the emitted source does not call: {listed}",
        span=budget.span,
        help="select the modules that hold them: what they compute is written there",
    )
