"""Program: from what torch captured to our `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec

from prunec.ir.graph import Graph, Input, Ref, TensorType, Tree, Weight, WeightRef, leaves
from prunec.trace import localise, lower, modules, scopes, symbols, trees, weights
from prunec.trace.inputs import Example, Leaf
from prunec.trace.lower import Lowering
from prunec.trace.scopes import Place
from prunec.trace.storage import Cell
from prunec.trace.symbols import Symbols


@dataclass(frozen=True)
class Captured:
    """A captured module: torch's program, the example it was captured with, and how nodes are located."""

    program: ExportedProgram
    example: Example
    frontend: Literal["export", "symbolic_trace"] = "export"
    place: Callable[[fx.Node], Place] = scopes.place

    @cached_property
    def placeholders(self) -> dict[str, fx.Node]:
        return {n.name: n for n in self.program.graph.nodes if n.op == "placeholder"}

    @cached_property
    def symbols(self) -> Symbols:
        return symbols.named((value, leaf.dims) for value, leaf in self.inputs())

    def inputs(self) -> Iterator[tuple[torch.Tensor, Leaf]]:
        """The symbolic value of each tensor input, with its leaf in the example."""
        specs = self.program.graph_signature.input_specs
        user = [s for s in specs if s.kind is InputKind.USER_INPUT]
        values = [self.placeholders[s.arg.name].meta["val"] for s in user]
        tensors = [v for v in values if isinstance(v, torch.Tensor)]
        yield from zip(tensors, self.example.leaves, strict=True)


def run(module: nn.Module, captured: Captured, name: str) -> tuple[Graph, dict[str, torch.Tensor]]:
    """The functional graph of a captured module, and its tensors by canonical name.

    Raises:
        PruneError: P0311 to P0313, as `lower` and `trees` refuse.
    """
    held = weights.run(module)
    bound = _Bound(captured, held)
    outputs = bound.walk.graph(captured.program.graph_module)
    spec = captured.program.call_spec
    parameters = trees.parameters(module, spec.in_spec, iter(bound.passed))
    output = trees.output(spec.out_spec, iter(outputs))
    build = bound.walk.build
    scoped = scopes.run(build.nodes, build.stacks, modules.canonical_paths(module))
    graph = Graph(
        name=name,
        parameters=parameters,
        inputs=tuple(bound.inputs),
        weights=(*held.entries, *bound.constants),
        nodes=tuple(localise.run(scoped, bound.inputs, output)),
        output=output,
        modules=modules.run(module),
        frontend=captured.frontend,
    )
    return graph, {**held.tensors, **bound.tensors}
