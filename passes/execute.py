"""Execution of a graph on real tensors: one batch at a time, or the whole calibration set node by
node.

Operators are looked up in `torch.ops` by name. A value is freed after its last reader. Half
precision is computed in float32 (`widen`): a CPU has no fast half arithmetic, and calibration wants
no rounding of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from prunec.diagnostics import InternalError
from prunec.ir.graph import Argument, Device, Graph, InTraining, Node, Ref, TorchName, WeightRef
from prunec.passes.batches import Batch

Value: TypeAlias = Any
Weights: TypeAlias = Mapping[str, Tensor]
Observer: TypeAlias = Callable[[Node, tuple[Value, ...], Value], None]
"""Called after every node with the node, its evaluated positional arguments and its value."""

NARROW = ("float16", "bfloat16")
SCALARS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "truediv": operator.truediv,
    "mod": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "and": operator.and_,
    "or": operator.or_,
    "not": operator.not_,
    "pos": operator.pos,
    "trunc": math.trunc,
    "ite": lambda condition, then, other: then if condition else other,
    "min": min,
    "max": max,
    "abs": abs,
    "int": int,
    "float": float,
    "ceil": math.ceil,
    "floor": math.floor,
}


def run(
    graph: Graph, weights: Weights, inputs: Sequence[Value], observe: Observer | None = None
) -> tuple[Value, ...]:
    """The graph's outputs (`Graph.outputs` order) on one batch of ``inputs`` (`Graph.inputs`
    order).

    Gradients flow when the caller asks for them (weights that require grad); ``observe`` sees every
    node.
    """
    weights = widen(weights)
    values: dict[str, Value] = {i.name: wide(x) for i, x in zip(graph.inputs, inputs, strict=True)}
    dying = deaths(graph, graph.nodes)
    for node in graph.nodes:
        args, value = evaluate(node, values, weights)
        values[node.name] = value
        if observe is not None:
            observe(node, args, value)
        for name in dying[node.name]:
            del values[name]
    return tuple(values[ref.name] for ref in graph.outputs)


class Steps(Protocol):
    """All values of a model over a calibration set, one node at a time; `Tape` is one."""

    graph: Graph
    values: dict[str, list[Value]]

    def compute(self, name: str) -> None:
        """Compute a node on every batch."""

    def free(self, name: str) -> None:
        """Forget every value whose last reader is this node."""


class Tape:
    """All values of one model over a whole calibration set, computed one node at a time.

    ``values[name]`` has one value per batch, from the node's `step` until its last reader has
    stepped. ``weights`` may be changed between steps: the nodes that follow see the change. Walk
    two models in lock-step by stepping their tapes through the same `schedule`.
    """

    def __init__(
        self, graph: Graph, weights: Weights, batches: Sequence[Batch], order: Sequence[Node]
    ) -> None:
        self.graph = graph
        self.weights = dict(widen(weights))
        self.values: dict[str, list[Value]] = {
            i.name: [wide(b.inputs[k]) for b in batches] for k, i in enumerate(graph.inputs)
        }
        self._count = len(batches)
        self._dying = deaths(graph, order)

    def compute(self, name: str) -> None:
        """Compute a node on every batch; what it reads stays alive until `free`."""
        node = self.graph.node[name]
        found = []
        with torch.no_grad():
            for k in range(self._count):
                values = {r.name: self.values[r.name][k] for r in node.refs()}
                found.append(evaluate(node, values, self.weights)[1])
        self.values[name] = found

    def free(self, name: str) -> None:
        """Forget every value whose last reader is this node."""
        for dead in self._dying[name]:
            del self.values[dead]


def schedule(graph: Graph) -> tuple[Node, ...]:
    """A topological order in which, where branches meet, the shallow one (the shortcut) is computed
    first.

    So the last layer of a residual branch can be fitted knowing all that its output will be added
    to.
    """
    depth = {i.name: 0 for i in graph.inputs}
    for node in graph.nodes:
        depth[node.name] = 1 + max((depth[r.name] for r in node.refs()), default=0)
    done: dict[str, Node] = {}
    roots = [r.name for r in graph.outputs] + [n.name for n in graph.nodes]
    for root in roots:
        stack = [root]
        while stack:
            top = graph.node.get(stack[-1])
            if top is None or top.name in done:
                stack.pop()
                continue
            waiting = {r.name for r in top.refs() if r.name in graph.node and r.name not in done}
            if not waiting:
                done[top.name] = top
                stack.pop()
            stack += sorted(waiting, key=lambda name: (-depth[name], name))
    return tuple(done.values())


def deaths(graph: Graph, order: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    """For each node the values that nothing reads after it (its own when nothing reads that at
    all).
    """
    last = {i.name: "" for i in graph.inputs}
    for node in order:
        last[node.name] = node.name
        last.update((ref.name, node.name) for ref in node.refs())
    outputs = {ref.name for ref in graph.outputs}
    dying: dict[str, list[str]] = {node.name: [] for node in order}
    for value, reader in last.items():
        if reader and value not in outputs:
            dying[reader].append(value)
    return {name: tuple(dead) for name, dead in dying.items()}


def evaluate(
    node: Node, values: Mapping[str, Value], weights: Weights
) -> tuple[tuple[Value, ...], Value]:
    """A node's evaluated positional arguments, and its value."""
    args = tuple(resolve(a, values, weights) for a in node.args)
    kwargs = {k: resolve(a, values, weights) for k, a in node.kwargs}
    return args, lookup(node.op)(*args, **kwargs)


def resolve(argument: Argument, values: Mapping[str, Value], weights: Weights) -> Value:
    """The Python or torch value of an argument."""
    match argument:
        case Ref(name):
            return values[name]
        case WeightRef(name):
            return weights[name]
        case TorchName(name):
            return getattr(torch, "float32" if name in NARROW else name)
        case Device(name):
            return torch.device(name)
        case InTraining():
            return 0.0
        case tuple():
            return [resolve(a, values, weights) for a in argument]
        case _:
            return argument


@cache
def lookup(op: str) -> Callable[..., Any]:
    """The function behind an operator's name: a torch overload, or one of the graph's own."""
    if op == "getitem":
        return operator.getitem
    if op == "size":
        return lambda value, dim: value.shape[dim]
    if op == "aten._grouped_mm.default":
        return _grouped_mm
    if op.startswith("scalar.") and op.removeprefix("scalar.") in SCALARS:
        return SCALARS[op.removeprefix("scalar.")]
    found: Any = torch.ops
    try:
        for part in op.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise InternalError(f"no operator is named {op}") from error
    return found  # type: ignore[no-any-return]


def _grouped_mm(x: Tensor, weight: Tensor, offs: Tensor, *rest: None) -> Tensor:
    """Rows up to ``offs[e]`` times matrix e; torch's kernel takes few dtypes and sizes."""
    ends = offs.tolist()
    sections = zip([0, *ends], ends, weight, strict=False)
    return torch.cat([x[start:end] @ matrix for start, end, matrix in sections])


def widen(weights: Weights) -> Weights:
    """The same weights, half precision as float32; the same mapping when there is none."""
    if all(w.dtype not in (torch.float16, torch.bfloat16) for w in weights.values()):
        return weights
    return {name: wide(w) for name, w in weights.items()}


def wide(value: Value) -> Value:
    """A tensor with half precision as float32; anything else as it is."""
    narrow = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if narrow else value
