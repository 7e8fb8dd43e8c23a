"""Structure: call a module as a graph's parameters say, and take apart what it returns as its
output says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from prunec.ir.graph import Dict_, Graph, Ref, Sequence_, Tree, WeightRef, fill


class Mismatch(Exception):
    """What a module returned has another structure than the graph's output."""


def call(module: nn.Module, graph: Graph, inputs: Sequence[Tensor]) -> Any:
    """``module(...)`` with the inputs (in the order of ``graph.inputs``) where the example had
    them.
    """
    values = dict(zip((i.name for i in graph.inputs), inputs, strict=True))
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variadic = any(p.name.startswith("*") for p in graph.parameters)
    for parameter in graph.parameters:
        value = fill(parameter.tree, values)
        if parameter.name.startswith("*"):
            args += value
        elif variadic and not parameter.keyword_only:
            args.append(value)
        else:
            kwargs[parameter.name] = value
    return module(*args, **kwargs)


def leaves(
    tree: Tree, value: Any, where: str = "output"
) -> Iterator[tuple[str, Ref | WeightRef, Any]]:
    """(place, reference, value) of every leaf of an output.

    Raises:
        Mismatch: the value is built otherwise.
    """
    match tree:
        case Ref() | WeightRef():
            yield where, tree, value
        case Sequence_(items=items):
            if not isinstance(value, tuple | list) or len(value) != len(items):
                raise Mismatch(f"{where} is no sequence of {len(items)}")
            for position, item in enumerate(items):
                yield from leaves(item, value[position], f"{where}[{position}]")
        case Dict_(items=pairs):
            for key, item in pairs:
                yield from leaves(item, _member(value, key, where), f"{where}.{key}")
        case _:
            if value != tree:
                raise Mismatch(f"{where} is {value!r}, not {tree!r}")


def _member(value: Any, key: str, where: str) -> Any:
    if isinstance(value, Mapping) and key in value:
        return value[key]
    if hasattr(value, key):
        return getattr(value, key)
    raise Mismatch(f"{where} has no `{key}`")
