"""In place: which stores may change their base's memory; the others get a clone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from prunec.emit import schema
from prunec.emit.schema import STORE
from prunec.ir.graph import Graph, Node, Ref, WeightRef, leaves, references

MADE = frozenset(
    """zeros ones full empty new_zeros new_ones new_full new_empty zeros_like ones_like full_like
    empty_like clone matmul bmm baddbmm linear layer_norm gelu silu cat stack arange index gather
    embedding where masked_fill cumsum""".split()
)
"""Operators whose result shares no memory, and is not kept for the gradient."""

READERS = frozenset(
    """add sub neg eq ne lt le gt ge sum mean argmax clone cat stack fill zeros_like ones_like
    full_like empty_like new_zeros new_ones new_full new_empty""".split()
)
"""Operators that keep nothing of what they read, for the gradient neither."""

SCALING = frozenset({"mul", "div"})
"""Those that keep nothing where the other operand is a number."""

SIGHTS = frozenset({"slice", "select", "unsqueeze"})
"""Operators that share memory in a way that a trace understands."""


def run(graph: Graph) -> Graph:
    """Every store on a base of its own: a clone, unless the base is used up by the store."""
    users = graph.users
    returned = {r.name for r in leaves(graph.output)}
    known = graph.node
    taken = set(graph.types)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op == STORE and not _is_own(node, known, users, returned):
            base = node.args[0]
            name = f"{node.name}_base"
            while name in taken:
                name += "_"
            taken.add(name)
            args = (base,)
            nodes.append(replace(node, name=name, op="aten.clone.default", args=args))
            nodes.append(replace(node, args=(Ref(name), *node.args[1:])))
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _is_own(
    store: Node,
    known: Mapping[str, Node],
    users: Mapping[str, Sequence[Node]],
    returned: set[str],
) -> bool:
    """Whether nothing that shares memory with the base is read after the store, or by it."""
    base = store.args[0]
    made = known.get(base.name) if isinstance(base, Ref) else None
    if made is None or made.scope != store.scope:
        return False
    if made.op != STORE and (schema.base(made.op) not in MADE or isinstance(made.type, tuple)):
        return False
    before: set[str] | None = None
    shared = [made.name]
    for name in shared:
        if name in returned or Ref(name) in references(store.args[1:], Ref):
            return False
        for reader in users.get(name, ()):
            if reader is store or reader.op == "size":
                continue
            before = _ancestors(store, known) if before is None else before
            if reader.name not in before:
                return False
            if schema.base(reader.op) in SIGHTS:
                shared.append(reader.name)
            elif not _only_reads(reader, name):
                return False
    return True


def _only_reads(reader: Node, name: str) -> bool:
    """Whether neither a reader's result nor its gradient needs the memory that it reads."""
    if reader.op == STORE:
        return reader.args[0] != Ref(name)
    base = schema.base(reader.op)
    scales = base in SCALING and not isinstance(reader.args[1], Ref | WeightRef)
    return reader.op.startswith("aten.") and (base in READERS or scales)


def _ancestors(node: Node, known: Mapping[str, Node]) -> set[str]:
    found: set[str] = set()
    waiting = list(node.refs())
    while waiting:
        name = waiting.pop().name
        if name not in found and name in known:
            found.add(name)
            waiting += known[name].refs()
    return found
