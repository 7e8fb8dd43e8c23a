"""Mutate: what an in-place operator leaves in its first argument, as a functional operator.

The new value has the shape and dtype of the old one, as in place it must; `storage.write` gives it
to everything that shares the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import fx
from torch._ops import OpOverload

from prunec.diagnostics import InternalError
from prunec.ir.graph import Argument, TensorType, TorchName, Type, WeightRef
from prunec.trace import operators
from prunec.trace.build import Builder


class Walk(Protocol):
    """What is needed of the walk over the fx graph (`lower.Lowering`)."""

    @property
    def build(self) -> Builder: ...

    @property
    def constants(self) -> Mapping[str, torch.Tensor]: ...

    def argument(self, value: Any) -> Argument: ...

    def type(self, value: Any) -> Type: ...


def run(node: fx.Node, op: OpOverload, type: TensorType, walk: Walk) -> Argument:
    """The new value of the tensor of type ``type`` that an in-place operator writes into.

    Raises:
        PruneError: P0312 if the operator has no functional twin.
    """
    twin = operators.functional(op, walk.build.line)
    match operators.name(twin):
        case "aten.copy.default":
            return _copied(node, type, walk)
        case "aten.zero.default":
            args = (walk.argument(node.args[0]),)
            return walk.build.emit("aten.zeros_like.default", args, type, node.name)
        case "aten.fill.Tensor" if (number := _number(node.args[1], walk)) is not None:
            filled = (walk.argument(node.args[0]), number)
            return walk.build.emit("aten.fill.Scalar", filled, type, node.name)
        case _:
            return _computed(node, twin, type, walk)


def _computed(node: fx.Node, twin: OpOverload, type: TensorType, walk: Walk) -> Argument:
    args = tuple(map(walk.argument, node.args))
    kwargs = tuple((key, walk.argument(value)) for key, value in node.kwargs.items())
    computed = _promoted(node, twin, type, walk)
    new = walk.build.emit(operators.name(twin), args, computed, node.name, kwargs)
    return _cast(new, computed, type, walk)


def _copied(node: fx.Node, type: TensorType, walk: Walk) -> Argument:
    """``copy_``: the source, in the target's shape and dtype."""
    source = node.args[1]
    have = walk.type(source.meta["val"]) if isinstance(source, fx.Node) else None
    if not isinstance(have, TensorType):
        raise InternalError(f"copy_ from {source}")
    new = _cast(walk.argument(source), have, type, walk)
    if (have.shape, have.symbols) == (type.shape, type.symbols):
        return new
    args = (new, walk.argument(node.args[0]))
    return walk.build.emit("aten.expand_as.default", args, type, "expand_as")


def _number(source: Any, walk: Walk) -> int | float | bool | None:
    """The value of a constant with one element and no dimension; None of anything else."""
    value = walk.argument(source)
    tensor = walk.constants.get(value.name) if isinstance(value, WeightRef) else None
    if tensor is None or tensor.dim() or tensor.is_meta or tensor.is_complex():
        return None
    number: int | float | bool = tensor.item()
    return number


def _cast(value: Argument, have: TensorType, want: TensorType, walk: Walk) -> Argument:
    if have.dtype == want.dtype:
        return value
    cast = TensorType(have.shape, want.dtype, have.symbols)
    return walk.build.emit("aten.to.dtype", (value, TorchName(want.dtype)), cast, "to")


def _promoted(node: fx.Node, twin: OpOverload, type: TensorType, walk: Walk) -> TensorType:
    """The type that the twin gives: it may promote dtypes where the in-place operator casts."""
    values = [n.meta["val"] for n in node.all_input_nodes]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if len({tensor.dtype for tensor in tensors}) < 2:
        return type

    def fake(value: Any) -> Any:
        return value.meta["val"] if isinstance(value, fx.Node) else value

    with tensors[0].fake_mode:  # type: ignore[attr-defined]
        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), fake)
        found = walk.type(twin(*args, **kwargs))
    assert isinstance(found, TensorType)
    return found
