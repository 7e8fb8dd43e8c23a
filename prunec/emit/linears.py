"""Linears: movements around linear layers, which touch the last dimension alone."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from prunec.emit import canonical, chains, movement, moves, schema, sizes
from prunec.emit.chains import Chain, Writer
from prunec.emit.hierarchy import join
from prunec.emit.movement import Atom, Move, Movement
from prunec.ir.graph import Call, Graph, Node, Ref, TensorType, WeightRef


def chunk(graph: Graph, free: Container[str]) -> Graph:
    """``x.chunk(3, -1)`` for a factor of a dimension that is moved to the front and taken apart."""
    items = chains.find(graph, free)
    counts = chains.uses(graph)
    ends = {i.end.name: i for i in items if isinstance(i, Chain)}
    writer, done = Writer(graph), set[str]()
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        if schema.base(node.op) != "unbind" or not isinstance(source, Ref):
            continue
        before = ends.get(source.name)
        if before is not None and counts[source.name] == 1 and _parts(before, node) is not None:
            done |= {before.end.name, node.name}
    for item in items:
        if isinstance(item, Node) and item.name in done:
            assert isinstance(item.args[0], Ref)
            taken = _parts(ends[item.args[0].name], item)
            assert taken is not None
            writer.node(taken)
        elif isinstance(item, Node):
            writer.node(item)
        elif item.end.name not in done:
            writer.chain(item)
    return writer.graph()


def _parts(before: Chain, node: Node) -> Node | None:
    """The chunk of the chain's source that is what ``node`` takes apart; None where it is not."""
    bound = schema.bind(node)
    made, given = before.movement.made, before.movement.given
    assert isinstance(bound["dim"], int)
    group = made[bound["dim"] % len(made)]
    home = next((i for i, g in enumerate(given) if g[:1] == group), None)
    if home is None or group[0].size.is_dynamic:
        return None
    rest = [tuple(a for a in g if a is not group[0]) for g in given]
    if [g for g in rest if g] != [g for g in made if g is not group]:
        return None
    if not rest[home]:
        return replace(node, args=(before.source, home))
    dim = -1 if home == len(given) - 1 else home
    args = (before.source, group[0].size.factor, dim)
    return replace(node, op="aten.chunk.default", args=args)


@dataclass(frozen=True)
class _Linear:
    """A linear layer between chains: ``unpacked`` are the chunk of its result, and its items."""

    node: Node
    before: Chain
    unpacked: tuple[Node, ...]
    after: tuple[Chain, ...]


def run(graph: Graph, free: Container[str]) -> Graph:
    """Move what happens to leading dimensions behind linear layers, where that is shorter."""
    items = chains.find(graph, free)
    firsts: dict[str, Movement] = {}
    after: dict[str, tuple[Move, ...]] = {}
    changed: dict[str, Node] = {}
    for layer, first, rows in _shorter(graph, items):
        ends = {c.end.name for c in layer.after}
        if layer.before.end.name in after or ends & firsts.keys():
            continue  # a chain between two layers moves once at a time
        firsts[layer.before.end.name] = first
        changed.update((n.name, n) for n in _retyped(layer, first))
        after.update((c.end.name, row) for c, row in zip(layer.after, rows, strict=True))
    writer = Writer(graph)
    for item in items if firsts else ():
        if isinstance(item, Node):
            writer.node(changed.get(item.name, item))
        elif item.end.name in firsts:
            writer.moves(item, chains.hinted(item, canonical.run(firsts[item.end.name])))
        elif item.end.name in after:
            source = writer.resolve(item.source)
            assert isinstance(source, Ref)
            given = sizes.of(_tensor(changed[source.name]))
            writer.write(source, chains.hinted(item, after[item.end.name]), item.nodes, given)
        else:
            writer.chain(item)
    return writer.graph() if firsts else graph


def _tensor(node: Node) -> TensorType:
    assert isinstance(node.type, TensorType)
    return node.type


def _retyped(layer: _Linear, first: Movement) -> Iterator[Node]:
    """The layer and the nodes that take its result apart, with their new leading dimensions."""
    lead = first.sizes[:-1]

    def retype(type_: object) -> TensorType:
        assert isinstance(type_, TensorType)
        return sizes.tensor((*lead, sizes.of(type_)[-1]), type_.dtype)

    for node in (layer.node, *layer.unpacked):
        whole = node.type
        made = tuple(map(retype, whole)) if isinstance(whole, tuple) else retype(whole)
        yield replace(node, type=made)


def _shorter(
    graph: Graph, items: Sequence[Node | Chain]
) -> Iterator[tuple[_Linear, Movement, list[tuple[Move, ...]]]]:
    for layer in _layers(graph, items):
        first, second = _divided(layer.before.movement)
        rows = []
        for chain in layer.after:
            last = chain.movement.source[-1]
            both = movement.follow(_ending(second, last), (m for ms in chain.moves for m in ms))
            if both is None:
                break
            rows.append(canonical.run(both))
        else:
            old = [canonical.run(c.movement) for c in (layer.before, *layer.after)]
            new = [canonical.run(first), *rows]
            if sum(map(moves.cost, new)) < sum(map(moves.cost, old)):
                yield layer, first, rows


def _layers(graph: Graph, items: Sequence[Node | Chain]) -> Iterator[_Linear]:
    counts = chains.uses(graph)
    ends = {i.end.name: i for i in items if isinstance(i, Chain)}
    starts = {i.source.name: i for i in items if isinstance(i, Chain)}
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        if schema.base(node.op) != "linear" or not isinstance(source, Ref):
            continue
        before = ends.get(source.name)
        if before is None or counts[source.name] != 1 or node.kwargs:
            continue
        unpacked = tuple(_unpacked(graph, node))
        values = [n.name for n in unpacked if n.op == "getitem"] or [node.name]
        after = tuple(starts[v] for v in values if v in starts and counts[v] == 1)
        scopes = {c.nodes[0].scope for c in (before, *after)}
        if len(after) == len(values) and len(scopes) == 1:
            yield _Linear(node, before, unpacked, after)


def _unpacked(graph: Graph, node: Node) -> Iterator[Node]:
    readers = graph.users[node.name]
    if len(readers) == 1 and schema.base(readers[0].op) == "chunk":
        dim = schema.bind(readers[0])["dim"]
        if dim == -1:
            yield readers[0]
            yield from graph.users[readers[0].name]


def _divided(before: Movement) -> tuple[Movement, Movement]:
    """What makes the last dimension, leaving all others in place; and what moves these."""
    last = before.made[-1]
    used = {a for g in before.made for a in g}
    lead = (tuple(a for a in g if a in used and a not in last) for g in before.given)
    plain = tuple(g for g in lead if g)
    first = movement.normal(Movement(before.given, (*plain, last)))
    return first, Movement((*plain, last), before.made)


def _ending(second: Movement, size: sizes.Size) -> Movement:
    """The movement of leading dimensions where the last is another."""
    last = (Atom(size),)
    return movement.normal(Movement((*second.given[:-1], last), (*second.made[:-1], last)))


def owned(graph: Graph) -> Graph:
    """``self.out_proj(x)`` for a linear layer's function on the weights of an uncalled child."""
    called = {c.path for n in graph.nodes for c in n.scope}
    counts: dict[str, int] = {}
    nodes = []
    for node in graph.nodes:
        path = _owner(graph, node)
        if path is None or path in called:
            nodes.append(node)
            continue
        index = counts[path] = counts.get(path, -1) + 1
        call = Call(path, graph.module[path].cls, index)
        nodes.append(replace(node, scope=(*node.scope, call)))
    return replace(graph, nodes=tuple(nodes)) if counts else graph


def _owner(graph: Graph, node: Node) -> str | None:
    """The module below the caller whose weights a linear function reads, all of them."""
    if node.op != "aten.linear.default" or not node.scope:
        return None
    weight = node.args[1]
    if not isinstance(weight, WeightRef) or not weight.name.endswith(".weight"):
        return None
    path = weight.name.removesuffix(".weight")
    module = graph.module.get(path)
    caller = node.scope[-1].path
    if module is None or not module.cls.startswith("torch.nn.modules.linear."):
        return None
    held = {WeightRef(join(path, w)) for w in module.weights}
    below = path != caller and (caller == "" or path.startswith(f"{caller}."))
    own = {r for r in node.weight_refs() if r != node.args[0]}
    return path if below and own == held else None
