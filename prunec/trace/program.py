"""Program: from what torch captured to our `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from prunec.diagnostics import InternalError
from prunec.ir.graph import (
    Argument,
    Device,
    Graph,
    Input,
    InTraining,
    Node,
    Ref,
    TensorType,
    TorchName,
    Tree,
    WeightRef,
    leaves,
)
from prunec.trace import localise, lower, modules, positions, scopes, symbols, trees, weights
from prunec.trace.faults import refuse
from prunec.trace.inputs import Example, Leaf
from prunec.trace.lower import Lowering
from prunec.trace.scopes import Place
from prunec.trace.storage import Cell
from prunec.trace.symbols import Symbols
from prunec.trace.weights import Weights


@dataclass(frozen=True)
class Captured:
    """A captured module: torch's program, the example that made it, where its nodes come from."""

    program: ExportedProgram
    example: Example
    assigned: tuple[str, ...] = ()
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
        PruneError: P0311 to P0313, as `lower` and `trees` refuse; P0312 for a tensor outside of the
            state dict that the model reads and sets.
    """
    held = weights.run(module)
    bound = _bind(captured, held)
    outputs = bound.walk.run(captured.program.graph_module)
    for attribute in captured.assigned:
        if attribute in bound.constants:
            raise refuse(
                "P0312", f"the model sets its attribute `{attribute}`, which it also reads"
            )
    spec = captured.program.call_spec
    parameters = trees.parameters(module, spec.in_spec, iter(bound.passed))
    output = trees.output(spec.out_spec, map(_returned, outputs))
    made = bound.walk.build
    scoped = scopes.run(made.nodes, made.stacks, modules.canonical_paths(module))
    placed = positions.run(localise.run(scoped, bound.inputs), bound.constants)
    nodes = lower.alive(placed, leaves(output))
    constants = _read(bound.constants, nodes, outputs)
    graph = Graph(
        name=name,
        parameters=parameters,
        inputs=tuple(bound.inputs),
        weights=(*held.entries, *(weights.constant(n, t) for n, t in constants.items())),
        nodes=nodes,
        output=output,
        modules=modules.run(module),
        frontend=captured.frontend,
    )
    return graph, {**held.tensors, **constants}


def _read(
    constants: Mapping[str, torch.Tensor], nodes: Iterable[Node], outputs: Iterable[Argument]
) -> dict[str, torch.Tensor]:
    """The constants that the graph reads or returns."""
    needed = {ref.name for node in nodes for ref in node.weight_refs()}
    needed |= {value.name for value in outputs if isinstance(value, WeightRef)}
    return {name: tensor for name, tensor in constants.items() if name in needed}


def _returned(value: Argument) -> Tree:
    """A returned value as a leaf of the output; torch.export flattens what holds others."""
    if isinstance(value, tuple | TorchName | Device | InTraining):
        raise InternalError(f"the model returns {value}")
    return value


@dataclass(frozen=True)
class _Bound:
    """A walk whose placeholders are bound, and what they were bound to."""

    walk: Lowering
    inputs: list[Input] = field(default_factory=list)
    passed: list[Tree] = field(default_factory=list)

    @property
    def constants(self) -> dict[str, torch.Tensor]:
        return self.walk.constants


def _bind(captured: Captured, held: Weights) -> _Bound:
    """Tie each placeholder to an input, a weight, a constant or a literal."""
    device = next((t.device.type for t in held.tensors.values()), "cpu")
    bound = _Bound(Lowering(captured.symbols, device, captured.place))
    walk = bound.walk
    for spec in captured.program.graph_signature.input_specs:
        node = captured.placeholders[spec.arg.name]
        value = node.meta["val"]
        type_ = captured.symbols.type(value)
        if not isinstance(value, torch.Tensor) or not isinstance(type_, TensorType):
            walk.values[node] = value
            bound.passed.append(value)
        elif spec.kind is InputKind.USER_INPUT:
            name = walk.build.name(node.name)
            bound.inputs.append(Input(name, type_))
            bound.passed.append(Ref(name))
            walk.values[node] = Cell(Ref(name), type_, owner=f"input `{name}`")
        else:
            name = held.canonical.get(str(spec.target), str(spec.target))
            if name not in held.tensors:
                bound.constants[name] = _constant(captured.program, name)
            owner = f"{spec.kind.name.lower().replace('_', ' ')} `{name}`"
            walk.values[node] = Cell(WeightRef(name), type_, owner=owner)
    return bound


def _constant(program: ExportedProgram, name: str) -> torch.Tensor:
    """The value of a tensor that the model's code holds outside of its parameters and buffers."""
    value = program.constants.get(name, program.state_dict.get(name))
    if not isinstance(value, torch.Tensor):
        raise refuse("P0311", f"the model holds `{name}`, a `{type(value).__name__}`")
    return value.detach()
