"""Stores: values written into a part of a tensor, as ``x[1:, 0] = y``.

A trace has them as operators that give a new tensor (``slice_scatter`` and the like), each for one
dimension. Here they become `STORE` nodes with a whole subscript, ``base`` as it is apart from
``value`` at ``index``. Such a node is written as an assignment that changes the base's own memory.
So nothing else may hold this memory and be read later: where that is not sure, the base is a clone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from prunec.emit import chains, inplace, schema
from prunec.emit.schema import LAST, STORE
from prunec.ir.graph import (
    Argument,
    Graph,
    Node,
    Ref,
    TensorType,
    Type,
    WeightRef,
    live,
    references,
    substitute,
)

VIEWS: Mapping[str, str] = {"slice_scatter": "slice", "select_scatter": "select"}
"""Operators that write a view back, with the operator that takes the view."""

SIGNS: Mapping[str, str] = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def run(graph: Graph) -> Graph:
    """The graph with `STORE` nodes in place of operators that write a part back."""
    if not any(schema.base(n.op) in (*VIEWS, "index_put") for n in graph.nodes):
        return graph
    raised = _pruned(_raised(graph))
    return inplace.run(_pruned(_apart(raised)))


def base_of(node: object) -> str | None:
    """The value that a store changes; None of anything else."""
    if not isinstance(node, Node) or node.op != STORE:
        return None
    base = node.args[0]
    assert isinstance(base, Ref)
    return base.name


def noun(store: Node, at: tuple[int, ...]) -> str:
    """What a number in a store's subscript is: an index, or one of a slice's three."""
    index = store.args[2]
    assert isinstance(index, tuple)
    entry = index[at[0]]
    sliced = isinstance(entry, tuple) and len(entry) == 3
    return ("start", "stop", "step")[at[1]] if sliced else "index"


def augments(store: Node, known: Mapping[str, Node]) -> tuple[str, Argument]:
    """The sign of arithmetic in place that a store may come from, and its operand; or ``""``.

    Whether the arithmetic begins with the very part that is written remains to be seen.
    """
    base, value, index = store.args
    made = known.get(value.name) if isinstance(value, Ref) else None
    sign = None if made is None else SIGNS.get(schema.base(made.op))
    if made is None or sign is None or any(True for _ in references(index, Ref)):
        return "", None
    bound = schema.bind(made)
    other = bound["other"]
    root = other
    while isinstance(root, Ref) and root.name in known and _sees(known[root.name]):
        root = known[root.name].args[0]
    plain = bound.get("alpha", 1) == 1 and bound.get("rounding_mode") is None
    return (sign, other) if plain and root != base else ("", None)


def _sees(node: Node) -> bool:
    return schema.base(node.op) in inplace.SIGHTS


@dataclass(frozen=True)
class _Part:
    """What a scatter writes: ``value`` at ``index`` of a base, and the last view on the way."""

    value: Argument
    index: tuple[Argument, ...]
    last: Node


def _raised(graph: Graph) -> Graph:
    """Every scatter as one store with the scatters inside of it."""
    known = graph.node
    counts = chains.uses(graph)
    nodes = []
    for node in graph.nodes:
        base = schema.base(node.op)
        if base in VIEWS and isinstance(node.type, TensorType):
            part = _part(node, known, counts)
            if part is not None:
                value = _value(part, known, counts)
                if _fits(value, node, graph):
                    nodes.append(_store(node, node.args[0], value, part.index))
                    continue
        elif base == "index_put":
            bound = schema.bind(node)
            index, value = _tensors(bound["indices"], node.type, graph), bound["values"]
            if index is not None and not bound.get("accumulate") and _fits(value, node, graph):
                nodes.append(_store(node, node.args[0], value, index))
                continue
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _store(node: Node, base: Argument, value: Argument, index: tuple[Argument, ...]) -> Node:
    return replace(node, op=STORE, args=(base, value, index), kwargs=())


def _tensors(indices: Argument, whole: Type, graph: Graph) -> tuple[Argument, ...] | None:
    """A subscript of tensors for all dimensions; None if it would not be read as such."""
    if not isinstance(indices, tuple) or not isinstance(whole, TensorType):
        return None
    covered = 0
    for index in indices:
        type_ = graph.type_of(index)
        if index is not None and (not isinstance(type_, TensorType) or not type_.rank):
            return None
        masks = isinstance(type_, TensorType) and type_.dtype in ("bool", "uint8")
        covered += type_.rank if masks else 1  # type: ignore[union-attr]
    return (*indices, *(None,) * (whole.rank - covered))


def _fits(value: Argument, node: Node, graph: Graph) -> bool:
    """Whether a store of the value needs no cast."""
    if not isinstance(value, Ref | WeightRef):
        return isinstance(value, bool | int | float)
    type_ = graph.type_of(value)
    if not isinstance(type_, TensorType) or not isinstance(node.type, TensorType):
        return False
    return type_.dtype == node.type.dtype


def _part(node: Node, known: Mapping[str, Node], counts: Mapping[str, int]) -> _Part | None:
    """The subscript of a scatter, joined with that of a scatter into the same view."""
    assert isinstance(node.type, TensorType)
    index: tuple[Argument, ...] = (None,) * node.type.rank
    last = node
    while True:
        found = _narrowed(index, last)
        if found is None:
            return None
        value = last.args[1]
        inner = known.get(value.name) if isinstance(value, Ref) else None
        nested = (
            inner is not None
            and schema.base(inner.op) in VIEWS
            and counts[inner.name] == 1
            and inner.scope == node.scope
            and _is_view(inner.args[0], last, known)
            and _narrowed(found, inner) is not None
        )
        if not nested:
            return _Part(value, found, last)
        assert inner is not None
        index, last = found, inner


def _narrowed(index: tuple[Argument, ...], scatter: Node) -> tuple[Argument, ...] | None:
    """A subscript with that of a scatter too; None where a dimension is taken already."""
    bound = schema.bind(scatter)
    dim = bound["dim"]
    seen = [i for i, e in enumerate(index) if not (isinstance(e, tuple) and len(e) == 1)]
    assert isinstance(dim, int)
    place = seen[dim]
    if index[place] is not None:
        return None
    return (*index[:place], _entry(scatter, bound), *index[place + 1 :])


def _entry(node: Node, bound: Mapping[str, Argument]) -> Argument:
    """``(index,)``, or ``(start, stop, step)`` with None for what is torch's default."""
    if "index" in bound:
        return (bound["index"],)
    start, stop, step = bound["start"], bound["end"], bound["step"]
    whole = isinstance(start, int) and start == 0
    entry = (None if whole else start, None if stop == LAST else stop, None if step == 1 else step)
    return None if entry == (None, None, None) else entry


def _is_view(value: Argument, scatter: Node, known: Mapping[str, Node]) -> bool:
    """Whether a value is the part of its base that a scatter writes."""
    made = known.get(value.name) if isinstance(value, Ref) else None
    if made is None or schema.base(made.op) != VIEWS[schema.base(scatter.op)]:
        return False
    mine, other = schema.bind(made), schema.bind(scatter)
    same_dim = mine["dim"] == other["dim"]
    return (
        made.args[0] == scatter.args[0]
        and same_dim
        and _entry(made, mine) == _entry(scatter, other)
    )


def _value(part: _Part, known: Mapping[str, Node], counts: Mapping[str, int]) -> Argument:
    """What is stored: a number that fills the part, or what broadcasts to it."""
    value = part.value
    made = known.get(value.name) if isinstance(value, Ref) else None
    if made is None or counts[made.name] != 1 or not isinstance(made.type, TensorType):
        return value
    base = schema.base(made.op)
    if base in ("fill", "full_like", "zeros_like") and _is_view(made.args[0], part.last, known):
        bare = base == "zeros_like" or len(made.args) > 1
        number = 0 if base == "zeros_like" else made.args[1] if bare else None
        found = _number(number, made.type.dtype) if not made.kwargs else None
        return value if found is None else found
    if base == "expand_as" and _is_view(made.args[1], part.last, known):
        return made.args[0]
    return value


def _number(number: Argument, dtype: str) -> int | float | bool | None:
    """A number as one of a dtype, which is how a trace has it."""
    if not isinstance(number, bool | int | float):
        return None
    if "float" in dtype:
        return float(number)
    if dtype == "bool":
        return bool(number)
    return int(number) if "int" in dtype and number == int(number) else None


def _apart(graph: Graph) -> Graph:
    """Without stores that change nothing: into an empty part, or of what is there already."""
    same: dict[str, Ref | WeightRef] = {}
    kept: dict[str, Node] = {}
    for node in graph.nodes:
        read = _replaced(node, same)
        base = read.args[0] if read.op == STORE else None
        before = kept.get(base.name) if isinstance(base, Ref) else None
        again = before is not None and before.op == STORE and before.args[1:] == read.args[1:]
        if isinstance(base, Ref | WeightRef) and (
            _is_empty(read, graph) or (again and not _is_indexed(read))
        ):
            same[node.name] = base
        else:
            kept[node.name] = read
    output = substitute(graph.output, lambda ref: same.get(ref.name, ref))
    return replace(graph, nodes=tuple(kept.values()), output=output)


def _is_empty(node: Node, graph: Graph) -> bool:
    """Whether the part that a store writes has no element, whatever the sizes at run time."""
    assert isinstance(node.type, TensorType)
    index = node.args[2]
    assert isinstance(index, tuple)
    sizes = zip(node.type.shape, node.type.symbols, strict=True)
    return any(
        symbol is None and isinstance(entry, tuple) and _skips(entry, size)
        for entry, (size, symbol) in zip(index, sizes, strict=False)
    )


def _skips(entry: tuple[Argument, ...], size: int) -> bool:
    """Whether a slice of a dimension of that size is empty."""
    bounds = [e for e in entry if e is None or isinstance(e, int)]
    return len(bounds) == len(entry) == 3 and not range(size)[slice(*bounds)]


def _is_indexed(node: Node) -> bool:
    """Whether a store's subscript has tensors, in which an element may stand twice."""
    index = node.args[2]
    assert isinstance(index, tuple)
    return any(isinstance(e, Ref | WeightRef) for e in index)


def _replaced(node: Node, same: Mapping[str, Ref | WeightRef]) -> Node:
    def new(argument: Argument) -> Argument:
        if isinstance(argument, Ref):
            return same.get(argument.name, argument)
        return tuple(map(new, argument)) if isinstance(argument, tuple) else argument

    args, kwargs = tuple(map(new, node.args)), tuple((k, new(v)) for k, v in node.kwargs)
    return (
        node
        if (args, kwargs) == (node.args, node.kwargs)
        else replace(node, args=args, kwargs=kwargs)
    )


def _pruned(graph: Graph) -> Graph:
    """Without what nobody reads."""
    return replace(graph, nodes=tuple(live(graph.nodes, graph.output)))
