"""An independent reading of a graph: node by node with `torch.ops`, compared with the module."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import nn

from prunec.ir.graph import Device, InTraining, Ref, ScalarType, TensorType, TorchName, WeightRef
from prunec.trace import Traced

SCALARS = {
    "floordiv": operator.floordiv,
    "not": operator.not_,
    "max": max,
    "min": min,
    "float": float,
}


def run(
    traced: Traced, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> list[Any]:
    """The flat list of what the graph returns for the tensors among some arguments."""
    graph = traced.graph
    order = [p.name for p in graph.parameters]
    named = sorted((kwargs or {}).items(), key=lambda pair: order.index(pair[0]))
    tensors = [t for t in pytree.tree_leaves((args, dict(named))) if torch.is_tensor(t)]
    values: dict[str, Any] = dict(zip((i.name for i in graph.inputs), tensors, strict=True))

    def value(argument: Any) -> Any:
        match argument:
            case Ref(name):
                return values[name]
            case WeightRef(name):
                return traced.weights[name]
            case TorchName(name):
                return getattr(torch, name)
            case Device(name):
                return torch.device(name)
            case InTraining():
                return 0.0
            case tuple():
                return [value(item) for item in argument]
            case _:
                return argument

    for node in graph.nodes:
        given = [value(a) for a in node.args]
        options = {k: value(a) for k, a in node.kwargs}
        values[node.name] = _apply(node.op, given, options)
        _agrees(node.type, values[node.name], str(node))
    return [value(leaf) for leaf in _leaves(graph.output)]


def equal(
    traced: Traced, module: nn.Module, *args: Any, tolerance: float = 0.0, **kwargs: Any
) -> None:
    """Assert that graph and module give the same on these arguments."""
    module.eval()
    copies = pytree.tree_map(lambda v: v.clone() if torch.is_tensor(v) else v, (args, kwargs))
    with torch.no_grad():
        got = run(traced, args, kwargs)
        want = pytree.tree_leaves(module(*copies[0], **copies[1]))
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        if torch.is_tensor(theirs):
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
        else:
            assert mine == theirs


def _apply(op: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if op == "getitem":
        return args[0][args[1]]
    if op == "size":
        return args[0].shape[args[1]]
    if op.startswith("scalar."):
        name = op.removeprefix("scalar.")
        return SCALARS.get(name, getattr(operator, name, None))(*args)
    function: Any = torch.ops
    for part in op.split("."):
        function = getattr(function, part)
    return function(*args, **kwargs)


def _agrees(type: Any, value: Any, where: str) -> None:
    """Every fixed size, rank and dtype of a node's type is what was computed."""
    match type:
        case TensorType():
            assert len(value.shape) == type.rank, where
            assert str(value.dtype) == f"torch.{type.dtype}", where
            for size, actual, symbol in zip(type.shape, value.shape, type.symbols, strict=True):
                assert symbol is not None or size == actual, where
        case ScalarType():
            assert not torch.is_tensor(value), where
        case tuple():
            for inner, item in zip(type, value, strict=True):
                _agrees(inner, item, where)


def _leaves(tree: Any) -> list[Any]:
    if hasattr(tree, "items") and isinstance(tree.items, tuple):
        pairs = [i[1] if isinstance(i, tuple) else i for i in tree.items]
        return [leaf for item in pairs for leaf in _leaves(item)]
    return [tree]
