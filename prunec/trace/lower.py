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
from prunec.trace import operators, scopes, storage
from prunec.trace.build import Builder
from prunec.trace.faults import refuse
from prunec.trace.inverse import View
from prunec.trace.scopes import Place
from prunec.trace.storage import Cell
from prunec.trace.symbols import Symbols

Value: TypeAlias = "Cell | Argument | list[Value]"
"""What an fx node stands for: a tensor, a number or literal, or what an inlined graph returned."""


@dataclass
class Lowering:
    """The state of one walk: what each fx node stands for, and the nodes made so far."""

    symbols: Symbols
    device: str
    place: Callable[[fx.Node], Place] = scopes.place
    build: Builder = field(default_factory=Builder)
    values: dict[fx.Node, Value] = field(default_factory=dict)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)

    def run(self, module: fx.GraphModule) -> list[Argument]:
        """Lower a graph whose placeholders are in ``values``; the flat list of what it returns."""
        return [self._argument(value) for value in self._walk(module)]

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
            return Cell(WeightRef(name), self.symbols.type(value), owner=f"constant `{name}`")
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
            return self.build.emit("getitem", (self._argument(source), index), type_, node.name)
        value = self.build.emit("getitem", (self._argument(source), index), type_, node.name)
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
            self.values[out] if isinstance(out, fx.Node) else self._argument(out)
            for out in self._walk(submodule)
        ]

    def _scalar(self, node: fx.Node, name: str) -> Value:
        value = node.meta["val"]
        if isinstance(value, int | float):
            return value
        args = tuple(map(self._argument, node.args))
        return self.build.emit(f"scalar.{name}", args, self.symbols.type(value), node.name)

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
            args = tuple(map(self._argument, node.args))
            return self.build.emit("size", args, self.symbols.type(value), node.name)
        if operators.is_mutable(op):
            return self._mutate(node, op, first)
        type_ = self.symbols.type(node.meta.get("val"))
        if name in operators.COPIED and isinstance(first, Cell):
            return Cell(self._argument(node.args[0]), type_)
        if name == "aten.slice.Tensor" and isinstance(first, Cell) and first.type == type_:
            return first
        return self._pure(node, op, type_)

    def _pure(self, node: fx.Node, op: OpOverload, type_: Type) -> Value:
        self._check_hidden_writes(node, op)
        args = tuple(map(self._argument, node.args))
        kwargs = tuple((key, self._argument(value)) for key, value in node.kwargs.items())
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
        twin = operators.functional(op, self.build.line)
        if not isinstance(target, Cell) or not isinstance(target.type, TensorType):
            raise InternalError(f"{op} writes into {target}")
        name = operators.name(twin)
        if name == "aten.copy.default":
            new = self._copied(node, target)
        elif name == "aten.zero.default":
            args = (self._argument(node.args[0]),)
            new = self.build.emit("aten.zeros_like.default", args, target.type, node.name)
        else:
            new = self._twin(node, twin, target)
        storage.write(target, new, self.build)
        return target

    def _twin(self, node: fx.Node, twin: OpOverload, target: Cell) -> Argument:
        assert isinstance(target.type, TensorType)
        args = tuple(map(self._argument, node.args))
        kwargs = tuple((key, self._argument(value)) for key, value in node.kwargs.items())
        computed = _result_type(node, twin, target.type, self.symbols)
        name = node.name.replace("_", "", 1) if node.name.startswith("_") else node.name
        new = self.build.emit(operators.name(twin), args, computed, name.replace("__", "_"), kwargs)
        return self._cast(new, computed, target.type)

    def _copied(self, node: fx.Node, target: Cell) -> Argument:
        """``copy_``: the source, in the target's shape and dtype."""
        assert isinstance(target.type, TensorType)
        source = node.args[1]
        new = self._argument(source)
        type_ = self.symbols.type(source.meta["val"]) if isinstance(source, fx.Node) else None
        if not isinstance(type_, TensorType):
            raise InternalError(f"copy_ from {source}")
        new = self._cast(new, type_, target.type)
        if (type_.shape, type_.symbols) == (target.type.shape, target.type.symbols):
            return new
        args = (new, self._argument(node.args[0]))
        return self.build.emit("aten.expand_as.default", args, target.type, "expand_as")

    def _cast(self, value: Argument, have: TensorType, want: TensorType) -> Argument:
        if have.dtype == want.dtype:
            return value
        cast = TensorType(have.shape, want.dtype, have.symbols)
        return self.build.emit("aten.to.dtype", (value, TorchName(want.dtype)), cast, "to")

    def _check_hidden_writes(self, node: fx.Node, op: OpOverload) -> None:
        """Normalisation in train mode writes running statistics, which its schema does not say."""
        position = {"aten.batch_norm.default": (5, 3), "aten.instance_norm.default": (5, 3)}
        name = operators.name(op)
        if name in position:
            train, stats = position[name]
            if node.args[train] and node.args[stats] is not None:
                raise refuse(
                    "P0312",
                    f"`{name}` updates its running statistics although the model is in eval mode",
                    self.build.line,
                    "pass `training=self.training`",
                )

    def _first(self, node: fx.Node) -> Value:
        first = node.args[0] if node.args else None
        return self.values[first] if isinstance(first, fx.Node) else None

    def _argument(self, value: Any) -> Argument:
        match value:
            case fx.Node():
                return self._read(self.values[value])
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return tuple(map(self._argument, value))
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


def _result_type(
    node: fx.Node, twin: OpOverload, type_: TensorType, symbols: Symbols
) -> TensorType:
    """The type that the functional twin gives: it may promote where the in-place operator casts."""
    tensors = [
        n.meta["val"] for n in node.all_input_nodes if isinstance(n.meta["val"], torch.Tensor)
    ]
    if len({t.dtype for t in tensors}) < 2:
        return type_

    def fake(value: Any) -> Any:
        return value.meta["val"] if isinstance(value, fx.Node) else value

    with tensors[0].fake_mode:  # type: ignore[attr-defined]
        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), fake)
        value = twin(*args, **kwargs)
    found = symbols.type(value)
    assert isinstance(found, TensorType)
    return found
