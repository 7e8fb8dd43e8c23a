"""Precision: which conversions of a float32 model would do something in a narrower one.

A norm that computes in float32 converts its input and converts back. Traced in float32, both do
nothing; moved to bfloat16, both are needed. A conversion starts a wide stretch if every way from it
ends in a conversion or leaves the floating point numbers, without meeting narrow values where torch
takes one dtype only. ``.to(torch.float32)`` starts it, ``.to(x.dtype)`` ends it; every other
conversion to the dtype that is there does nothing in any precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prunec.emit import schema
from prunec.ir.graph import (
    Graph,
    Node,
    Ref,
    TensorType,
    TorchName,
    Tree,
    Type,
    WeightRef,
    leaves,
)

WIDE = "float32"

CASTS = frozenset({"to", "_to_copy", "type_as"})

COUNTS = frozenset({"arange", "linspace"})
"""Factories whose values need the precision; what others make is a constant."""

PROMOTES = frozenset(
    """add sub rsub mul div pow where maximum minimum cat stack masked_fill atan2 addcmul addcdiv
    fmod remainder lerp hypot copysign""".split()
)
"""Operators that take wide and narrow values together and give wide ones."""


@dataclass(frozen=True)
class Precision:
    """``starts`` and ``ends`` are conversions by name, ``wide`` the values in between.

    ``usual`` is the dtype of the model: that of most of its weights.
    """

    usual: str
    starts: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    wide: frozenset[str] = frozenset()

    def needs(self, name: str) -> bool:
        """Whether a conversion to the dtype that is there stays."""
        return name in self.starts or name in self.ends


def run(graph: Graph, nodes: Sequence[Node], output: Tree) -> Precision:
    """Find the wide stretches of the nodes; none unless the model is a float32 one."""
    usual = _usual(graph)
    if usual != WIDE:
        return Precision(usual)
    refused: set[str] = set()
    while True:
        found = _Stretches(graph, refused)
        for node in nodes:
            found.take(node)
        found.refuse(ref for ref in leaves(output) if ref.name in found.origins)
        if not found.met:
            starts = frozenset().union(*found.origins.values())
            return Precision(usual, starts, frozenset(found.ends), frozenset(found.origins))
        refused |= found.met


def converts(node: Node) -> bool:
    """Whether a node gives float32 because it is told to."""
    if not isinstance(node.type, TensorType) or node.type.dtype != WIDE:
        return False
    if schema.base(node.op) in CASTS and any(isinstance(a, Ref | WeightRef) for a in node.args[1:]):
        return True
    return TorchName(WIDE) in (*node.args, *(v for _, v in node.kwargs))


@dataclass
class _Stretches:
    """One way through the nodes; ``origins`` are wide values with the conversions behind them."""

    graph: Graph
    refused: set[str]
    origins: dict[str, frozenset[str]] = field(default_factory=dict)
    ends: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)

    def take(self, node: Node) -> None:
        wide = [r for r in node.refs() if r.name in self.origins]
        base = schema.base(node.op)
        if base in CASTS:
            wide = [r for r in wide if r == node.args[0]]
        away = [r for r in wide if not self._is_inside(node, r)]
        if away:
            self.refuse(away)
        elif not wide:
            if self._may_start(node):
                self.origins[node.name] = frozenset({node.name})
        elif converts(node) and base in CASTS:
            self.ends.add(node.name)
        elif _floats(node.type):
            if base in PROMOTES or not any(self._is_narrow(r) for r in _operands(node)):
                self.origins[node.name] = frozenset().union(*(self.origins[r.name] for r in wide))
            else:
                self.refuse(wide)

    def _is_inside(self, node: Node, value: Ref) -> bool:
        """Whether a reader stands in the calls in which the value's stretches start."""
        scopes = (self.graph.node[name].scope for name in self.origins[value.name])
        return all(node.scope[: len(scope)] == scope for scope in scopes)

    def _may_start(self, node: Node) -> bool:
        base = schema.base(node.op)
        if node.name in self.refused or not converts(node) or base == "type_as":
            return False
        if not any(isinstance(self.graph.type_of(o), TensorType) for o in _operands(node)):
            return base in COUNTS
        given = self.graph.type_of(node.args[0])
        truth = isinstance(given, TensorType) and given.dtype == "bool"
        return not base.endswith("_like") and not truth

    def refuse(self, values: Iterable[Ref]) -> None:
        """The conversions behind these values start nothing."""
        self.met.update(name for ref in values for name in self.origins[ref.name])

    def _is_narrow(self, operand: Ref | WeightRef) -> bool:
        return operand.name not in self.origins and _floats(self.graph.type_of(operand))


def _operands(node: Node) -> Iterator[Ref | WeightRef]:
    yield from node.refs()
    yield from node.weight_refs()


def _floats(type_: Type) -> bool:
    """Whether there are values of the model's own precision among these."""
    if isinstance(type_, tuple):
        return any(map(_floats, type_))
    return isinstance(type_, TensorType) and type_.dtype == WIDE


def _usual(graph: Graph) -> str:
    held = (w.type for w in graph.weights)
    given = (i.type for i in graph.inputs)
    for types in (held, given):
        found = Counter(t.dtype for t in types if "float" in t.dtype)
        if found:
            return found.most_common(1)[0][0]
    return WIDE


def apart(graph: Graph) -> Graph:
    """The graph where an argument that a call converts to its own dtype keeps its name outside.

    Such a conversion returns its argument itself, so that a trace calls it by the new name from
    there on: also where the caller adds its input to what a norm returns.
    """
    sources: dict[str, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        args, kwargs = _renamed((node.args, node.kwargs), node, sources)
        read = (
            node
            if (args, kwargs) == (node.args, node.kwargs)
            else replace(node, args=args, kwargs=kwargs)
        )
        nodes.append(read)
        source = read.args[0] if schema.base(node.op) in CASTS else None
        if isinstance(source, Ref) and graph.types[source.name] == node.type:
            maker = graph.node.get(source.name)
            if maker is None or maker.scope[: len(node.scope)] != node.scope:
                sources[node.name] = read
    return replace(graph, nodes=tuple(nodes))


def _renamed(argument: Any, reader: Node, sources: Mapping[str, Node]) -> Any:
    """References of a reader to conversions of other calls as references to their arguments."""
    if isinstance(argument, tuple):
        return tuple(_renamed(a, reader, sources) for a in argument)
    while isinstance(argument, Ref) and argument.name in sources:
        source = sources[argument.name]
        if reader.scope[: len(source.scope)] == source.scope:
            break
        argument = source.args[0]
    return argument


def plain(node: Node, found: Precision, given: Type) -> Node:
    """The node without a ``dtype`` that says what would come out anyway."""
    if node.name in found.ends and schema.base(node.op) in CASTS:
        return replace(node, op="aten.to.dtype", args=(node.args[0], TorchName(WIDE)), kwargs=())
    told = converts(node) and schema.base(node.op) not in CASTS and node.name not in found.starts
    if not told or not isinstance(given, TensorType) or given.dtype != WIDE:
        return node
    told_nothing = tuple(None if a == TorchName(WIDE) else a for a in node.args)
    return replace(node, args=told_nothing, kwargs=tuple(p for p in node.kwargs if p[0] != "dtype"))
