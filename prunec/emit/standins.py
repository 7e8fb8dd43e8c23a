"""Stand-ins: the torch.nn class that does all that a user's class does, or that it extends.

A class such as ``class GELUActivation`` or ``class LayerNorm(nn.LayerNorm)`` is nothing of its own.
``class LayerNorm2d(nn.LayerNorm)`` permutes around ``super().forward(x)``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from prunec.emit import own, schema
from prunec.emit.construct import Construct
from prunec.emit.constructors import UPSAMPLE_MODES, Leaf, Seen
from prunec.emit.hierarchy import CONTAINERS, Base, join
from prunec.emit.modules import LEAVES
from prunec.emit.tree import Region
from prunec.ir.graph import Argument, Graph, Module, Node, TensorType, TorchName, Weight

UNUSUAL = frozenset({"NonDynamicallyQuantizableLinear", "SyncBatchNorm"})
"""Classes that do what another does, and that nobody writes by choice."""


def find(graph: Graph, module: Module, calls: Sequence[Region]) -> Construct | None:
    """The construction that serves all calls of a user's module; None where there is none."""
    nodes = [c.items[0] for c in calls if len(c.items) == 1]
    single = [n for n in nodes if isinstance(n, Node)]
    if module.cls.startswith(CONTAINERS) or len(single) != len(calls) or not calls:
        return None
    held = _weights(graph, module)
    if held is None or any(not w.persistent for w in held.values()):
        return None
    found = [_shown(graph, module, held, n) for n in single]
    first = found[0]
    if first is None or any(f != first for f in found):
        return None
    return first if len(_made(first)) == len(held) else None


def bases(graph: Graph, root: Region, built: Collection[str]) -> dict[str, Base]:
    """The torch.nn classes that modules extend, by path; none of those ``built`` as such."""
    calls: dict[str, list[Region]] = {}
    for region in root.walk():
        if region.path and region.path not in built and graph.module[region.path].weights:
            calls.setdefault(region.path, []).append(region)
    found = ((path, _base(graph, graph.module[path], regions)) for path, regions in calls.items())
    return {path: base for path, base in found if base is not None}


def _base(graph: Graph, module: Module, calls: Sequence[Region]) -> Base | None:
    held = own.weights(graph, module)
    constructs: list[Construct] = []
    given: dict[str, Argument] = {}
    for region in calls:
        nodes = [n for n in region.items if isinstance(n, Node) and any(n.weight_refs())]
        shown = [(n, _shown(graph, module, held, n)) for n in nodes]
        fitting = [(n, c) for n, c in shown if c is not None]
        if len(fitting) != 1:
            return None
        node, construct = fitting[0]
        constructs.append(construct)
        given[node.name] = schema.bind(node)[LEAVES[construct.callee.removeprefix("nn.")].source]
    first = constructs[0]
    made = _instance(first)
    inherited = made.state_dict()
    kept = [held[name] for name in inherited]
    named = {w.name for w in graph.weights if w.name == join(module.path, _last(w.name))}
    further = {*module.children, *held, *map(_last, named)} - inherited.keys()
    plain = all(w.persistent and (w.kind != "parameter" or w.requires_grad) for w in kept)
    clash = any(hasattr(made, name) for name in further)
    same = all(c == first for c in constructs)
    usual = same and plain and not clash and any(w.kind == "parameter" for w in kept)
    return Base(first, frozenset(inherited), given) if usual else None


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _weights(graph: Graph, module: Module) -> Mapping[str, Weight] | None:
    """What a module and all below it hold, by local name; None where there are constants."""
    below = [m for m in graph.modules if m.path.startswith(f"{module.path}.")]
    homes = {w.name.rpartition(".")[0] for w in graph.weights if w.kind == "constant"}
    if any(m.weights for m in below) or homes & {module.path, *(m.path for m in below)}:
        return None
    return own.weights(graph, module)


def _shown(
    graph: Graph, module: Module, held: Mapping[str, Weight], node: Node
) -> Construct | None:
    """The construction of the first torch.nn class whose call an operator on own weights is."""
    if not own.follows_mode(node):
        return None
    for leaf in _candidates(node):
        seen = own.settings(graph, module, leaf, (node,))
        if seen is None:
            continue
        types = {local: w.type for local, w in held.items()}
        mode = UPSAMPLE_MODES.get(schema.base(node.op))
        config: dict[str, Argument] = {} if mode is None else {"mode": mode}
        found = leaf.build(Seen(types, seen, config))
        if found is not None and makes(found, held):
            return found
    return None


def makes(construct: Construct, held: Mapping[str, Weight]) -> bool:
    """Whether all that a construction makes is held, in kind, shape and dtype, by local name."""
    return _made(construct).items() <= _types(held).items()


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


def _types(held: Mapping[str, Weight]) -> dict[str, object]:
    return {local: (w.kind, w.type.shape, w.type.dtype) for local, w in held.items()}


def _made(construct: Construct) -> dict[str, object]:
    """The kind, shape and dtype of all that a construction makes, by name."""
    made = _instance(construct)
    kinds = [("parameter", made.named_parameters()), ("buffer", made.named_buffers())]
    return {
        name: (kind, tuple(t.shape), str(t.dtype).removeprefix("torch."))
        for kind, tensors in kinds
        for name, t in tensors
    }


def _instance(construct: Construct) -> nn.Module:
    """The module that a construction makes, without memory."""
    name = construct.callee.removeprefix("nn.")
    holds = bool(LEAVES[name].weights)
    args: list[Any] = []
    named: dict[str, Any] = {"device": "meta"} if holds else {}
    for arg in construct.args:
        value = getattr(torch, arg.value.name) if isinstance(arg.value, TorchName) else arg.value
        if arg.name is None:
            args.append(value)
        elif holds or arg.name != "dtype":
            named[arg.name] = value
    made: nn.Module = getattr(nn, name)(*args, **named)
    return made
