"""Symbolic: the second way in, `torch.fx.symbolic_trace`, for models that torch.export cannot run.

Symbolic tracing runs the model's Python code on stand-ins that have no values, so checks of values
do not stop it. It draws a plain module without such checks, and torch.export captures that one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import fx, nn

from prunec.trace import modules, scopes
from prunec.trace.capture import evaluating
from prunec.trace.inputs import Example
from prunec.trace.scopes import Frame, Place


@dataclass(frozen=True)
class Drawn:
    """A redrawn module, and where each node of an export of it comes from in the original."""

    module: fx.GraphModule
    place: Callable[[fx.Node], Place]


def run(module: nn.Module, example: Example) -> Drawn:
    """Redraw a module, in eval mode; it shares the original's parameters.

    Raises:
        Exception: what the model's code raises on stand-ins, or that it computes something else.
    """
    tracer = fx.Tracer()
    tracer.record_stack_traces = True
    with evaluating(module), torch.no_grad():
        graph = tracer.trace(module, concrete_args=_concrete(module, example))
        drawn = fx.GraphModule(tracer.root, graph)
        _compare(module, drawn, example)
    return Drawn(drawn, _place(drawn, modules.class_name(module)))


def _concrete(module: nn.Module, example: Example) -> dict[str, Any]:
    """The arguments without tensors, which are part of the program, defaults included."""
    bound = inspect.signature(module.forward).bind(*example.args, **example.kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    return {
        name: value
        for name, value in bound.arguments.items()
        if name not in given
        or not any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value))
    }


def _compare(module: nn.Module, drawn: fx.GraphModule, example: Example) -> None:
    """Code may ask what a stand-in is and treat it differently; the example shows if it did."""
    given = (example.args, example.kwargs)
    (args, kwargs), (again, rest) = (
        pytree.tree_map_only(torch.Tensor, torch.clone, given) for _ in range(2)
    )
    pairs = zip(
        pytree.tree_leaves(module(*args, **kwargs)),
        pytree.tree_leaves(drawn(*again, **rest)),
        strict=True,
    )
    for want, got in pairs:
        same = want == got if not isinstance(want, torch.Tensor) else _close(want, got)
        if not same:
            raise RuntimeError(
                "the model's code treats the stand-ins of symbolic_trace differently"
            )


def _close(want: torch.Tensor, got: object) -> bool:
    if not isinstance(got, torch.Tensor) or got.shape != want.shape or got.dtype != want.dtype:
        return False
    return want.is_meta or torch.allclose(want, got, rtol=1e-4, atol=1e-5, equal_nan=True)


def _place(drawn: fx.GraphModule, root: str) -> Callable[[fx.Node], Place]:
    """Where exported nodes come from.

    torch.export copies a drawn node's stack trace to what it exports for it; so each drawn node
    gets its number in place of one.
    """
    origins: list[tuple[tuple[Frame, ...], str | None]] = []
    for number, node in enumerate(drawn.graph.nodes):
        outer = (("", "", root), *_frames(node))
        origins.append((outer, scopes.line(node.stack_trace)))
        node.stack_trace = f'  File "{_DRAWN}", line {number}, in forward\n'
    drawn.recompile()

    def place(node: fx.Node) -> Place:
        found = re.findall(rf'File "{_DRAWN}", line (\d+)', str(node.meta.get("stack_trace")))
        if not found:
            return None, None
        outer, line = origins[int(found[0])]
        below = f"{outer[-1][1]}."
        inner = [
            f for f in scopes.stack(node.meta) or () if len(outer) > 1 and f[1].startswith(below)
        ]
        return (*outer, *inner), line

    return place


_DRAWN = "<drawn>"


def _frames(node: fx.Node) -> tuple[Frame, ...]:
    stack = node.meta.get("nn_module_stack") or {}
    return tuple((key, path, scopes.class_text(cls)) for key, (path, cls) in stack.items())
