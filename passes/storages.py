"""Storages: which pieces of memory the values of a graph lie in.

A view, a slice or an expansion lies in its base's memory; so does a reshape or a change of layout
or dtype, where strides allow it and there is nothing to do. Strides decide, and torch knows them:
the graph is run on torch's fake tensors, which have strides and storages but no data, with
contiguous inputs and weights on a CPU, for one sample (`passes.sizes`), in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from prunec.ir.graph import Argument, Device, Graph, Node, ScalarType, TensorType, Type
from prunec.passes import execute
from prunec.passes.sizes import of_one_sample

ShapeOf: TypeAlias = Callable[[TensorType], tuple[int, ...]]


@dataclass(frozen=True)
class Storages:
    """``made[s]`` are the value and its tensors, counted through all of its items, that storage s
    was made for; ``held[name]`` are the storages that a value lies in.

    A weight's storage is none of them.
    """

    made: tuple[tuple[str, tuple[int, ...]], ...]
    held: Mapping[str, frozenset[int]]


def run(graph: Graph) -> Storages:
    """The storages of all values, in the order in which they are made.

    An operator whose result depends on data gives fresh storages; where its schema says that the
    result may be a view, it lies in its operands' too.
    """
    made: list[tuple[str, list[int]]] = []
    held: dict[str, frozenset[int]] = {}
    shape = of_one_sample(graph)
    with FakeTensorMode(), torch.no_grad():
        weights = {w.name: _empty(w.type, shape) for w in graph.weights}
        known = {_address(w): -1 for w in weights.values()}
        values: dict[str, Any] = {}

        def keep(name: str, value: Any) -> set[int]:
            values[name] = value
            found = set[int]()
            for at, tensor in enumerate(_tensors(value)):
                storage = known.setdefault(_address(tensor), len(made))
                if storage == len(made):
                    made.append((name, []))
                if storage >= 0 and made[storage][0] == name:
                    made[storage][1].append(at)
                found.add(storage)
            return found - {-1}

        for given in graph.inputs:
            held[given.name] = frozenset(keep(given.name, _empty(given.type, shape)))
        for node in graph.nodes:
            try:
                _, value = execute.evaluate(_on_cpu(node), values, weights)
            except (
                Exception
            ):  # whatever an operator raises that needs data, which fake tensors lack
                found = keep(node.name, _example(node.type, shape))
                if _may_be_a_view(node):
                    found.update(*(held[r.name] for r in node.refs()))
            else:
                found = keep(node.name, value)
            held[node.name] = frozenset(found)
    return Storages(tuple((name, tuple(at)) for name, at in made), held)


def _on_cpu(node: Node) -> Node:
    """The node with all devices that it names replaced by the one that the fake tensors are on."""
    args = tuple(map(_without_device, node.args))
    kwargs = tuple((name, _without_device(value)) for name, value in node.kwargs)
    return replace(node, args=args, kwargs=kwargs)


def _without_device(argument: Argument) -> Argument:
    match argument:
        case Device():
            return Device("cpu")
        case tuple():
            return tuple(map(_without_device, argument))
        case _:
            return argument


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _address(tensor: Tensor) -> int:
    found: int = tensor.untyped_storage()._cdata
    return found


def _empty(kind: TensorType, shape: ShapeOf) -> Tensor:
    return torch.empty(shape(kind), dtype=getattr(torch, kind.dtype))


def _example(kind: Type, shape: ShapeOf) -> Any:
    match kind:
        case TensorType():
            return _empty(kind, shape)
        case ScalarType():
            return kind.example
        case tuple():
            return [_example(item, shape) for item in kind]
        case None:
            return None


def _may_be_a_view(node: Node) -> bool:
    schema = getattr(execute.lookup(node.op), "_schema", None)
    return schema is not None and any(r.alias_info is not None for r in schema.returns)
