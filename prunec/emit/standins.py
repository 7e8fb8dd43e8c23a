"""Stand-ins: the torch.nn class that does all that a user's class does, with the same weights.

A class such as ``class GELUActivation`` or ``class LayerNorm(nn.LayerNorm)`` is nothing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from prunec.emit import own, schema
from prunec.emit.construct import Construct
from prunec.emit.constructors import UPSAMPLE_MODES, Leaf, Seen
from prunec.emit.hierarchy import CONTAINERS, join
from prunec.emit.modules import LEAVES
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Graph, Module, Node, TensorType, TorchName, Weight

UNUSUAL = frozenset({"NonDynamicallyQuantizableLinear", "SyncBatchNorm"})
"""Classes that do what another does, and that nobody writes by choice."""


def find(graph: Graph, module: Module, calls: Sequence[Region]) -> Construct | None:
    """The construction that serves all calls of a user's module; None where there is none."""
    if module.path == "" or module.cls.startswith(CONTAINERS):
        return None
    nodes = [c.items[0] for c in calls if len(c.items) == 1]
    single = [n for n in nodes if isinstance(n, Node)]
    held = _weights(graph, module) if len(single) == len(calls) else None
    if held is None:
        return None
    types = {local: w.type for local, w in held.items()}
    for leaf in _candidates(single[0]):
        found = [_build(graph, module, types, leaf, n) for n in single]
        first = found[0]
        if first is not None and all(f == first for f in found) and _makes(first, held):
            return first
    return None


def _weights(graph: Graph, module: Module) -> Mapping[str, Weight] | None:
    """What a module and all below it hold, by local name; None where it is no module's usual."""
    known = {n: w for w in graph.weights for n in (w.name, *w.ties)}
    below = [m for m in graph.modules if m.path.startswith(f"{module.path}.")]
    homes = {name.rpartition(".")[0] for name, w in known.items() if w.kind == "constant"}
    if any(m.weights for m in below) or homes & {module.path, *(m.path for m in below)}:
        return None
    found = {local: known[join(module.path, local)] for local in module.weights}
    return found if all(w.persistent for w in found.values()) else None


def _candidates(node: Node) -> Iterator[Leaf]:
    base = schema.base(node.op)
    for name, leaf in LEAVES.items():
        if base in leaf.ops and name not in UNUSUAL and _has_rank(name, node):
            yield leaf


def _has_rank(name: str, node: Node) -> bool:
    """Whether ``2d`` in a name fits, for operators that serve any number of dimensions."""
    number = re.search(r"(\d)d$", name)
    if number is None:
        return True
    dims, base = int(number[1]), schema.base(node.op)
    if base == "pad":
        sizes = schema.bind(node)["pad"]
        return isinstance(sizes, tuple) and len(sizes) == 2 * dims
    if base not in ("batch_norm", "instance_norm", "feature_dropout"):
        return True
    rank = node.type.rank if isinstance(node.type, TensorType) else 0
    return rank == dims + 2 or (base == "batch_norm" and (rank, dims) == (2, 1))


def _build(
    graph: Graph, module: Module, types: Mapping[str, TensorType], leaf: Leaf, node: Node
) -> Construct | None:
    seen = own.settings(graph, module, leaf, (node,))
    if seen is None or not own.follows_mode(node):
        return None
    mode = UPSAMPLE_MODES.get(schema.base(node.op))
    config: dict[str, Argument] = {} if mode is None else {"mode": mode}
    return leaf.build(Seen(types, seen, config))


def _makes(construct: Construct, held: Mapping[str, Weight]) -> bool:
    """Whether the construction makes the very parameters and buffers that the module holds."""
    args: list[Any] = []
    named: dict[str, Any] = {"device": "meta"} if held else {}
    for arg in construct.args:
        value = getattr(torch, arg.value.name) if isinstance(arg.value, TorchName) else arg.value
        if arg.name is None:
            args.append(value)
        else:
            named[arg.name] = value
    if not held:
        named.pop("dtype", None)
    made: nn.Module = getattr(nn, construct.callee.removeprefix("nn."))(*args, **named)
    parameters = {k: ("parameter", _type(p)) for k, p in made.named_parameters()}
    buffers = {k: ("buffer", _type(b)) for k, b in made.named_buffers()}
    return {**parameters, **buffers} == {
        k: (w.kind, (w.type.shape, w.type.dtype)) for k, w in held.items()
    }


def _type(tensor: torch.Tensor) -> tuple[tuple[int, ...], str]:
    return tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
