"""Lower: from torch's fx graph to our nodes, functional and in execution order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload

from prunec.diagnostics import InternalError
from prunec.ir.graph import (
    Argument,
    Device,
    Node,
    Ref,
    ScalarType,
    TensorType,
    TorchName,
    Type,
    WeightRef,
)
from prunec.trace import mutate, operators, scopes, storage
from prunec.trace.build import Builder
from prunec.trace.faults import refuse
from prunec.trace.inverse import View
from prunec.trace.scopes import Place
from prunec.trace.storage import Cell
from prunec.trace.symbols import DataDependentError, Symbols

Value: TypeAlias = "Cell | Argument | list[Value]"
"""What an fx node stands for: a tensor, a number or literal, or what an inlined graph returned."""


@dataclass
class Lowering:
    """The state of one walk: what each fx node stands for, and the nodes made so far.

    ``constants`` holds the tensors that the model's code has outside of its state dict.
    """

    symbols: Symbols
    device: str
    place: Callable[[fx.Node], Place] = scopes.place
    build: Builder = field(default_factory=Builder)
    values: dict[fx.Node, Value] = field(default_factory=dict)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)

    def run(self, module: fx.GraphModule) -> list[Argument]:
        """Lower a graph whose placeholders are in ``values``; the flat list of what it returns."""
        return [self.argument(value) for value in self._walk(module)]

    def _walk(self, module: fx.GraphModule) -> Sequence[Any]:
        for node in module.graph.nodes:
            stack, line = self.place(node)
            with self.build.at(stack, line):
                match node.op:
                    case "placeholder":
                        if node not in self.values:
                            raise InternalError(f"unbound placeholder {node.name}")
                    case "get_attr":
                        self.values[node] = self._attribute(module, node)
                    case "call_function":
                        self.values[node] = self._call(module, node)
                    case "output":
                        return list(node.args[0])
                    case _:
                        raise InternalError(f"unexpected fx node {node.format_node()}")
        raise InternalError("an fx graph without output")

    def _attribute(self, module: fx.GraphModule, node: fx.Node) -> Value:
        value = module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        if isinstance(value, torch.Tensor):
            name = str(node.target)
            self.constants[name] = value
            return Cell(WeightRef(name), self.type(value), owner=f"constant `{name}`")
        return None

    def _call(self, module: fx.GraphModule, node: fx.Node) -> Value:
        target = node.target
        if target is operator.getitem:
            return self._getitem(node)
        if isinstance(target, HigherOrderOperator):
            return self._inline(module, node, target)
        if isinstance(target, OpOverload):
            return self._operator(node, target)
        if callable(target) and target in operators.SCALARS:
            return self._scalar(node, operators.SCALARS[target])
        raise refuse(
            "P0311",
            f"the model calls `{getattr(target, '__name__', target)}`, which is no torch operator",
            self.build.line,
            "write it with torch functions, or keep it outside of the model",
        )

    def _getitem(self, node: fx.Node) -> Value:
        source, index = node.args
        whole = self.values[source] if isinstance(source, fx.Node) else None
        assert isinstance(index, int)
        if isinstance(whole, list):
            return whole[index]
        if not isinstance(whole, Cell):
            raise InternalError(f"getitem of {whole}")
        type_ = whole.type[index] if isinstance(whole.type, tuple) else None
        if isinstance(type_, ScalarType):
            return self.build.emit("getitem", (self.argument(source), index), type_, node.name)
        value = self.build.emit("getitem", (self.argument(source), index), type_, node.name)
        if whole.parent is None:
            return Cell(value, type_)
        return storage.seen(value, type_, whole, View("getitem", (index,)))

    def _inline(self, module: fx.GraphModule, node: fx.Node, op: HigherOrderOperator) -> Value:
        inner = operators.inlined(op, node.args, self.device)
        if inner is None:
            raise refuse(
                "P0311",
                f"the model uses `{op!s}`, which prunec cannot see through",
                self.build.line,
                "prune the part of the model without it"
                + (", or trace outside of autocast" if "autocast" in str(op) else ""),
            )
        body, arguments = inner
        submodule = getattr(module, body.target)
        placeholders = [n for n in submodule.graph.nodes if n.op == "placeholder"]
        for placeholder, argument in zip(placeholders, arguments, strict=True):
            bound = self.values[argument] if isinstance(argument, fx.Node) else argument
            self.values[placeholder] = bound
        return [
            self.values[out] if isinstance(out, fx.Node) else self.argument(out)
            for out in self._walk(submodule)
        ]

    def _scalar(self, node: fx.Node, name: str) -> Value:
        value = node.meta["val"]
        if isinstance(value, int | float):
            return value
        args = tuple(map(self.argument, node.args))
        return self.build.emit(f"scalar.{name}", args, self.type(value), node.name)

    def _operator(self, node: fx.Node, op: OpOverload) -> Value:
        name = operators.name(op)
        first = self._first(node)
        if name in operators.DROPPED:
            return None
        if name in operators.SAME_TENSOR:
            return first
        if name == "aten.sym_size.int":
            value = node.meta["val"]
            if isinstance(value, int):
                return value
            args = tuple(map(self.argument, node.args))
            return self.build.emit("size", args, self.type(value), node.name)
        if operators.is_mutable(op):
            return self._mutate(node, op, first)
        type_ = self.type(node.meta.get("val"))
        if name in operators.COPIED and isinstance(first, Cell):
            return Cell(self.argument(node.args[0]), type_)
        if name == "aten.slice.Tensor" and isinstance(first, Cell) and first.type == type_:
            return first
        return self._pure(node, op, type_)

    def _pure(self, node: fx.Node, op: OpOverload, type_: Type) -> Value:
        operators.check_hidden_writes(op, node.args, self.build.line)
        args = tuple(map(self.argument, node.args))
        kwargs = tuple((key, self.argument(value)) for key, value in node.kwargs.items())
        value = self.build.emit(operators.name(op), args, type_, node.name, kwargs)
        if isinstance(type_, ScalarType):
            return value
        return self._cell(node, value, type_, View(operators.name(op), args[1:], kwargs))

    def _cell(self, node: fx.Node, value: Ref, type_: Type, view: View) -> Cell:
        """The result of a pure operator: a view if it shares an argument's memory, else a base."""
        mine = _storages(node.meta.get("val"))
        shared = [n for n in node.all_input_nodes if mine & _storages(n.meta.get("val"))]
        first = self._first(node)
        maybe = view.op in operators.EVAL_IDENTITY and view.rest[0] != 0
        if isinstance(first, Cell) and (maybe or shared == [node.args[0]]):
            return storage.seen(value, type_, first, replace(view, maybe=maybe))
        for other in shared:
            cell = self.values[other]
            if isinstance(cell, Cell):
                cell.base.opaque = view.op
        return Cell(value, type_)

    def _mutate(self, node: fx.Node, op: OpOverload, target: Value) -> Value:
        if not isinstance(target, Cell) or not isinstance(target.type, TensorType):
            raise InternalError(f"{op} writes into {target}")
        storage.write(target, mutate.run(node, op, target.type, self), self.build)
        return target

    def type(self, value: Any) -> Type:
        """The type of what torch recorded for a node.

        Raises:
            PruneError: P0311 if it depends on the values of a tensor.
        """
        try:
            return self.symbols.type(value)
        except DataDependentError as error:
            raise refuse(
                "P0311",
                f"a {error} depends on the values of a tensor, not on shapes alone",
                self.build.line,
                "keep such code (`.item()`, `nonzero`, boolean masks) outside of the model",
            ) from None

    def _first(self, node: fx.Node) -> Value:
        first = node.args[0] if node.args else None
        return self.values[first] if isinstance(first, fx.Node) else None

    def argument(self, value: Any) -> Argument:
        """An argument of an fx node, as the graph has it at this moment."""
        match value:
            case fx.Node():
                return self._read(self.values[value])
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return tuple(map(self.argument, value))
            case torch.dtype() | torch.layout() | torch.memory_format():
                return TorchName(str(value).removeprefix("torch."))
            case torch.device():
                return Device(str(value))
            case _:
                raise refuse(
                    "P0311",
                    f"an operator takes a `{type(value).__name__}`, which prunec cannot write down",
                    self.build.line,
                )

    def _read(self, value: Value) -> Argument:
        match value:
            case Cell():
                return storage.read(value, self.build)
            case list():
                return tuple(map(self._read, value))
            case _:
                return value


def alive(nodes: Sequence[Node], returned: Iterable[Ref]) -> tuple[Node, ...]:
    """The nodes that a returned value needs; the others, being functional, have no effect."""
    needed = {ref.name for ref in returned}
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(ref.name for ref in node.refs())
    return tuple(reversed(kept))


def _storages(value: Any) -> set[int]:
    match value:
        case torch.Tensor():
            return {value.untyped_storage()._cdata}
        case tuple() | list():
            return set().union(*map(_storages, value))
        case _:
            return set()
