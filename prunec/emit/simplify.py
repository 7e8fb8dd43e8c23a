"""Simplify: the graph as emission reads it, without values and operators that do nothing.

Run-time sizes are no statements of their own: ``x.shape[0]`` is written wherever it is needed, from
whatever tensor at hand has that size. So `Program` keeps the `size` and ``scalar.*`` nodes apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from prunec.emit import (
    chains,
    extremes,
    linears,
    neutral,
    precision,
    raising,
    schema,
    sizes,
    stores,
    strides,
)
from prunec.emit.precision import Precision
from prunec.ir.graph import (
    Argument,
    Graph,
    Node,
    Ref,
    ScalarType,
    TensorType,
    TorchName,
    Tree,
    Type,
    WeightRef,
    live,
    substitute,
)

ROUNDS = 16
"""How often a graph is rewritten at most; all that were seen came to rest after a few."""

COPIES = frozenset({"alias", "lift_fresh", "lift_fresh_copy"})

NEUTRAL: Mapping[str, int] = {"add": 0, "sub": 0, "mul": 1, "div": 1}
"""Arithmetic with these does nothing (but ``-0.0 + 0`` is ``0.0``: only integers drop zeros)."""

RANDOM = frozenset(
    {"dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "bernoulli"}
)


@dataclass(frozen=True)
class Program:
    """A graph to be written down.

    ``nodes`` are live and in order, without those in ``scalars`` (run-time sizes) and without
    ``getitem``: ``parts[node]`` are the names of a tuple's items, None for those that nobody reads.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    scalars: Mapping[str, Node]
    parts: Mapping[str, tuple[str | None, ...]]
    output: Tree
    precision: Precision

    @cached_property
    def node(self) -> Mapping[str, Node]:
        """Every node by name, as simplified."""
        return {value: n for n in self.nodes for value in (n.name, *self.results(n))}

    @cached_property
    def types(self) -> Mapping[str, Type]:
        return self.graph.types

    def results(self, node: Node) -> tuple[str, ...]:
        """The values that a node makes and that somebody reads."""
        parts = self.parts.get(node.name)
        return (node.name,) if parts is None else tuple(p for p in parts if p is not None)

    def reads(self, node: Node) -> tuple[Ref | WeightRef, ...]:
        """Tensors and data-dependent numbers that a node reads, in order, repeats included."""
        return tuple(
            r
            for r in _references((node.args, tuple(v for _, v in node.kwargs)))
            if self._is_value(r)
        )

    def sizes(self, node: Node) -> tuple[Ref, ...]:
        """Run-time sizes that a node reads."""
        found = _references((node.args, tuple(v for _, v in node.kwargs)))
        return tuple(r for r in found if isinstance(r, Ref) and not self._is_value(r))

    def symbols(self, scalar: Ref) -> tuple[str, ...]:
        """The dynamic sizes that a run-time number is computed from."""
        node = self.scalars[scalar.name]
        if node.op == "size":
            symbol = size_symbol(node, self.types)
            return () if symbol is None else (symbol,)
        operands = (a for a in node.args if isinstance(a, Ref))
        return tuple(dict.fromkeys(s for a in operands for s in self.symbols(a)))

    def _is_value(self, reference: Ref | WeightRef) -> bool:
        return isinstance(reference, WeightRef) or reference.name not in self.scalars


def run(graph: Graph) -> Program:
    """Rewrite until nothing changes, and leave out whatever does not reach the output."""
    graph = precision.apart(sizes.corrected(graph))
    for _ in range(ROUNDS):
        after = _rewritten(graph)
        if after.nodes == graph.nodes:
            break
        graph = after
    graph = stores.run(graph)
    scalars = _free_scalars(graph.nodes, graph)
    kept = live([n for n in graph.nodes if n.name not in scalars], graph.output)
    parts = _parts(kept, graph)
    found = precision.run(graph, kept, graph.output)
    marked = extremes.run(kept, graph.output, found.usual)
    nodes = tuple(n for n in marked if n.op != "getitem")
    return Program(graph, nodes, scalars, parts, graph.output, found)


def _rewritten(graph: Graph) -> Graph:
    graph = raising.unbind(_without_copies(graph))
    for rewrite in (chains.run, linears.chunk, linears.run):
        graph = rewrite(graph, _free_scalars(graph.nodes, graph))
    graph = linears.owned(graph)
    return replace(graph, nodes=tuple(live(graph.nodes, graph.output)))


def _without_copies(graph: Graph) -> Graph:
    """Drop copies, casts to the same dtype, whole slices and repetitions."""
    same: dict[str, Argument] = {}
    kept: list[Node] = []
    made: dict[object, Node] = {}
    found = precision.run(graph, graph.nodes, graph.output)
    fixed = strides.needed(graph)
    for node in graph.nodes:
        read = _read(neutral.broadcast(node, graph), same)
        source = strides.copied(read, fixed) or _copied(read, graph, found)
        source = source or neutral.operand(read, graph) or _repeated(read, made)
        if source is None:
            kept.append(raising.run(precision.plain(read, found, _given(read, graph)), graph))
        else:
            same[node.name] = source
    output = substitute(graph.output, lambda ref: _leaf(ref, same))
    return replace(graph, nodes=tuple(kept), output=output)


def _read(node: Node, same: Mapping[str, Argument]) -> Node:
    args = tuple(_resolve(a, same) for a in node.args)
    return replace(node, args=args, kwargs=tuple((k, _resolve(v, same)) for k, v in node.kwargs))


def size_symbol(node: Node, types: Mapping[str, Type]) -> str | None:
    """The dynamic size that a `size` node asks for; None where it is fixed."""
    value, dim = node.args
    if not isinstance(value, Ref) or not isinstance(dim, int):
        return None
    type_ = types[value.name]
    return type_.symbols[dim] if isinstance(type_, TensorType) else None


def _given(node: Node, graph: Graph) -> Type:
    """The type of a node's first argument."""
    match node.args[:1]:
        case (Ref(name=name),):
            return graph.types[name]
        case (WeightRef(name=name),):
            return graph.weight[name].type
        case _:
            return None


def _copied(node: Node, graph: Graph, found: Precision) -> Argument:
    """What a node merely hands on, or None when it does something."""
    base = schema.base(node.op)
    source = node.args[0] if node.args else None
    if not isinstance(source, Ref | WeightRef) or not isinstance(node.type, TensorType):
        return None
    given = _given(node, graph)
    if base in COPIES:
        return source
    if base == "expand" and given == node.type:
        return source
    if base == "pad" and not any(node.args[1]):  # type: ignore[arg-type]
        return source  # (-1, 1) keeps the size, but moves what is inside
    if base == "dropout" and node.args[1] == 0 and not _is_module(node):
        return source
    if base in NEUTRAL and given == node.type:
        other = node.args[1] if len(node.args) > 1 else None
        neutral = isinstance(other, int | float) and other == NEUTRAL[base] and not node.kwargs
        exact = base in ("mul", "div") or "int" in node.type.dtype
        return source if neutral and exact else None
    if base in precision.CASTS and isinstance(given, TensorType):
        bound = schema.bind(node)
        moves = bound.get("copy") or isinstance(bound.get("memory_format"), TorchName)
        moves = moves or found.needs(node.name)
        return source if given.dtype == node.type.dtype and not moves else None
    if base == "slice" and given == node.type and isinstance(given, TensorType):
        bound = schema.bind(node)
        start, end, dim = bound["start"], bound["end"], bound["dim"]
        assert isinstance(dim, int)
        whole = end in (None, schema.LAST) or (isinstance(end, int) and given.symbols[dim] is None)
        return source if whole and start in (None, 0) and bound["step"] == 1 else None
    return None


def _is_module(node: Node) -> bool:
    return bool(node.scope) and node.scope[-1].cls.startswith("torch.nn.modules.")


def _repeated(node: Node, made: dict[object, Node]) -> Argument:
    """The earlier value of the same operator on the same arguments in the same call.

    Only what reads no weights: a layer that is called twice stays two calls. An item of a tuple is
    the same in every call.
    """
    if any(True for _ in node.weight_refs()) or _is_random(node):
        return None
    scope = () if node.op == "getitem" else node.scope
    first = made.setdefault((node.op, repr(node.args), repr(node.kwargs), scope), node)
    return None if first is node else Ref(first.name)


def _is_random(node: Node) -> bool:
    base = schema.base(node.op)
    return (
        base in RANDOM or base.startswith(("rand", "_")) or base == "scaled_dot_product_attention"
    )


def _free_scalars(nodes: Sequence[Node], graph: Graph) -> dict[str, Node]:
    """Numbers that follow from the sizes of the model's inputs."""
    known = {s for i in graph.inputs for s in i.type.symbols if s is not None}
    found: dict[str, Node] = {}
    for node in nodes:
        if node.op == "size":
            symbol = size_symbol(node, graph.types)
            free = symbol is None or symbol in known
        else:
            operands = tuple(node.refs())
            free = node.op.startswith("scalar.") and all(r.name in found for r in operands)
        if free and isinstance(node.type, ScalarType):
            found[node.name] = node
    return found


def _parts(nodes: Sequence[Node], graph: Graph) -> dict[str, tuple[str | None, ...]]:
    found: dict[str, list[str | None]] = {}
    for node in nodes:
        if isinstance(node.type, tuple):
            found[node.name] = [None] * len(node.type)
        if node.op == "getitem":
            source, index = node.args
            assert isinstance(source, Ref)
            assert isinstance(index, int)
            found[source.name][index] = node.name
    return {name: tuple(parts) for name, parts in found.items()}


def _resolve(argument: Argument, same: Mapping[str, Argument]) -> Argument:
    match argument:
        case Ref(name=name):
            return same.get(name, argument)
        case tuple():
            return tuple(_resolve(a, same) for a in argument)
        case _:
            return argument


def _leaf(ref: Ref, same: Mapping[str, Argument]) -> Ref | WeightRef:
    found = same.get(ref.name, ref)
    assert isinstance(found, Ref | WeightRef)
    return found


def _references(argument: Argument) -> list[Ref | WeightRef]:
    match argument:
        case Ref() | WeightRef():
            return [argument]
        case tuple():
            return [r for a in argument for r in _references(a)]
        case _:
            return []
