"""Chains: every run of operators that only move dimensions, in its canonical form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from prunec.emit import canonical, movement, moves, schema, sizes
from prunec.emit.movement import Move, Movement, Permute, Reshape
from prunec.emit.moves import Spelling, UnknownError
from prunec.emit.sizes import Size
from prunec.ir.graph import (
    Argument,
    Graph,
    Node,
    Ref,
    TensorType,
    WeightRef,
    leaves,
    references,
    substitute,
)


@dataclass(frozen=True)
class Chain:
    """Nodes in a row, each the only reader of the one before, and what they do together."""

    nodes: tuple[Node, ...]
    moves: tuple[tuple[Move, ...], ...]
    movement: Movement

    @property
    def source(self) -> Ref | WeightRef:
        source = self.nodes[0].args[0]
        assert isinstance(source, Ref | WeightRef)
        return source

    @property
    def end(self) -> Node:
        return self.nodes[-1]


def uses(graph: Graph) -> Counter[str]:
    """How often each value is read, by nodes and by the caller."""
    found = Counter(r.name for n in graph.nodes for r in n.refs())
    found.update(r.name for r in leaves(graph.output))
    return found


def find(graph: Graph, free: Container[str]) -> list[Node | Chain]:
    """The nodes of a graph in order, chains in the place of their first node.

    ``free`` are the run-time sizes that are known from the start.
    """
    counts = uses(graph)
    readers = {
        n.args[0].name: n
        for n in graph.nodes
        if n.args and isinstance(n.args[0], Ref) and counts[n.args[0].name] == 1
    }
    items: list[Node | Chain] = []
    waiting: dict[str, int] = {}
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        place = waiting.pop(source.name, None) if isinstance(source, Ref) else None
        before = None if place is None else items[place]
        assert not isinstance(before, Node)
        if any(r.name not in free for r in references(node.args[1:], Ref)):
            before = None
        chain = _extended(before, node, graph)
        if chain is None or place is None or chain.nodes[0] is node:
            place = len(items)
            items.append(node if chain is None else chain)
        else:
            items[place] = chain
        reader = readers.get(node.name)
        if chain is not None and reader is not None and _continues(node, reader, counts, graph):
            waiting[node.name] = place
    return items


def _continues(node: Node, reader: Node, counts: Counter[str], graph: Graph) -> bool:
    """Whether a chain goes on with its only reader; ``q @ k.transpose(-2, -1)`` stays together."""
    found = _moves(reader, graph)
    if found is None or reader.scope != node.scope:
        return False
    swaps = any(isinstance(m, Permute) and _swaps_last(m.order) for m in found)
    return not (swaps and counts[reader.name] == 1 and _is_multiplied(reader, graph))


def _swaps_last(order: Sequence[int]) -> bool:
    rank = len(order)
    return tuple(order) == (*range(rank - 2), rank - 1, rank - 2)


def _is_multiplied(node: Node, graph: Graph) -> bool:
    reader = graph.users[node.name][:1]
    return any(
        schema.base(r.op) in ("matmul", "bmm") and r.args[1] == Ref(node.name) for r in reader
    )


def _moves(node: Node, graph: Graph) -> tuple[Move, ...] | None:
    source = node.args[0] if node.args else None
    return moves.read(node, graph.type_of(source))


def _extended(before: Chain | None, node: Node, graph: Graph) -> Chain | None:
    """The chain with a node more, or a chain of its own; None where it does no movement."""
    found = _moves(node, graph)
    given = graph.type_of(node.args[0]) if node.args else None
    if found is None or not isinstance(given, TensorType) or not isinstance(node.type, TensorType):
        return None
    wanted = sizes.of(node.type)
    alone = movement.follow(movement.identity(sizes.of(given)), found)
    if alone is None or alone.sizes != wanted:
        return None
    if before is not None:
        both = movement.follow(before.movement, found)
        # What splits other dimensions than the chain did is a thought of its own.
        most = max(before.movement.atoms, alone.atoms)
        if both is not None and both.sizes == wanted and both.atoms <= most:
            return Chain((*before.nodes, node), (*before.moves, found), both)
    return Chain((node,), (found,), alone)


def run(graph: Graph, free: Container[str]) -> Graph:
    """The graph with every chain in canonical form, where that is not longer."""
    writer = Writer(graph)
    for item in find(graph, free):
        if isinstance(item, Chain):
            writer.chain(item)
        else:
            writer.node(item)
    return writer.graph()


class Writer:
    """Builds a graph anew, node by node; ``same`` are values that stand for others."""

    def __init__(self, graph: Graph) -> None:
        self._old = graph
        self._nodes: list[Node] = []
        self._taken = {*graph.types}
        self._same: dict[str, Ref | WeightRef] = {}
        self._spelling = Spelling(graph)

    def node(self, node: Node) -> None:
        """Take over a node."""
        kwargs = tuple((k, self.resolve(v)) for k, v in node.kwargs)
        args = tuple(map(self.resolve, node.args))
        self._nodes.append(_as_reshape(replace(node, args=args, kwargs=kwargs)))

    def alias(self, name: str, value: Ref | WeightRef) -> None:
        """Let a value stand for another."""
        self._same[name] = value

    def chain(self, chain: Chain) -> None:
        """Write a chain: canonical where that is no longer, else as it was."""
        if len(chain.nodes) == 1 and schema.base(chain.end.op) in moves.SHORT:
            self.node(chain.end)
            return
        old = sum(map(moves.cost, chain.moves))
        short = canonical.run(chain.movement)
        if moves.cost(short) <= old and self.moves(chain, hinted(chain, short)):
            return
        value: Argument = self.resolve(chain.source)
        for node, found in zip(chain.nodes, chain.moves, strict=True):
            assert isinstance(value, Ref | WeightRef)
            given = self._old.type_of(node.args[0])
            assert isinstance(given, TensorType)
            alone = movement.follow(movement.identity(sizes.of(given)), found)
            one = found if alone is None else canonical.run(alone)
            one = one if moves.cost(one) <= moves.cost(found) else found
            single = Chain((node,), (found,), chain.movement)
            if not self.write(value, hinted(single, one), (node,), sizes.of(given)):
                self.node(node)
            value = self._same.get(node.name, Ref(node.name))

    def moves(self, chain: Chain, row: Sequence[Move]) -> bool:
        """Write moves in the place of a chain; False where a size cannot be written."""
        source = self.resolve(chain.source)
        assert isinstance(source, Ref | WeightRef)
        return self.write(source, row, chain.nodes, chain.movement.source)

    def write(
        self,
        source: Ref | WeightRef,
        row: Sequence[Move],
        old: Sequence[Node],
        given: tuple[Size, ...],
    ) -> bool:
        """Write moves of a value as nodes, in the place and under the names of others."""
        end = old[-1]
        if not row:
            self._same[end.name] = source
            return True
        assert isinstance(end.type, TensorType)
        made: list[Node] = []
        value: Argument = source
        names = [n.name for n in old][-len(row) :]
        names = [*(self._name(end.name) for _ in range(len(row) - len(names))), *names]
        for move, name in zip(row, names, strict=True):
            try:
                op, args = self._spelling.write(move, given)
            except UnknownError:
                return False
            given = moves.apply(move, given)
            type_ = sizes.tensor(given, end.type.dtype)
            made.append(replace(end, name=name, op=op, args=(value, *args), kwargs=(), type=type_))
            value = Ref(name)
        self._nodes += made
        return True

    def _name(self, wanted: str) -> str:
        number = 1
        while f"{wanted}_{number}" in self._taken:
            number += 1
        self._taken.add(f"{wanted}_{number}")
        return f"{wanted}_{number}"

    def resolve(self, argument: Argument) -> Argument:
        match argument:
            case Ref(name=name):
                return self._same.get(name, argument)
            case tuple():
                return tuple(map(self.resolve, argument))
            case _:
                return argument

    def graph(self) -> Graph:
        """What was written."""
        known = {n.name for n in self._nodes}
        numbers = [n for n in self._spelling.numbers.values() if n.name not in known]
        output = substitute(self._old.output, lambda r: self._same.get(r.name, r))
        return replace(self._old, nodes=(*numbers, *self._nodes), output=output)


def _as_reshape(node: Node) -> Node:
    """A view of a tensor whose strides may be any."""
    view = node.op in ("aten.view.default", "aten._unsafe_view.default")
    return replace(node, op="aten.reshape.default") if view else node


def hinted(chain: Chain, row: Sequence[Move]) -> tuple[Move, ...]:
    """Moves whose fixed sizes are left to torch where the chain left them."""
    known = {m.sizes: m.inferred for found in chain.moves for m in found if isinstance(m, Reshape)}
    return tuple(
        replace(m, inferred=known.get(m.sizes)) if isinstance(m, Reshape) else m for m in row
    )
