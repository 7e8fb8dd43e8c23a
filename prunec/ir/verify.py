"""Verify: what a legal graph is.

1. Inputs and nodes have distinct names, which are identifiers; weights, ties included, and modules
   have distinct paths.
2. A value is made before it is read; a weight that is read is listed.
3. Every operator is functional: no overload that writes in place, none that writes into ``out``.
4. Every node has a type, and what is read from it agrees: ``getitem`` takes a tuple apart, ``size``
   measures a tensor, ``scalar.*`` computes a number.
5. Scopes start at the root and nest; a module call is one interval of the node order and names a
   known module.
6. The parameters hold each input once; what is returned exists.

`run` takes time linear in the graph and raises `InternalError` for the first breach, with the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prunec.diagnostics import InternalError
from prunec.ir.graph import (
    Call,
    Dict_,
    Graph,
    Node,
    Ref,
    ScalarType,
    Sequence_,
    TensorType,
    Tree,
    WeightRef,
    leaves,
)


def run(graph: Graph) -> Graph:
    """Return the graph unchanged if it is legal.

    Raises:
        InternalError: it is not; the message holds the rule and the node.
    """
    _names(graph)
    _values(graph)
    _scopes(graph)
    _trees(graph)
    return graph


def is_functional(op: str) -> bool:
    """Whether an operator writes into no argument, by its name (``add_`` and ``add.out`` do)."""
    if "." not in op:
        return True
    base, _, overload = op.partition(".")[2].partition(".")
    in_place = base.endswith("_") and not base.endswith("__")
    return not in_place and overload != "out" and not overload.endswith("_out")


def _names(graph: Graph) -> None:
    values = [i.name for i in graph.inputs] + [n.name for n in graph.nodes]
    for name in values:
        if not name.isidentifier():
            raise InternalError(f"`{name}` is not an identifier")
    weights = [name for w in graph.weights for name in (w.name, *w.ties)]
    for kind, names in (("value", values), ("weight", weights)):
        repeated = _repeated(names)
        if repeated is not None:
            raise InternalError(f"two {kind}s are named `{repeated}`")
    repeated = _repeated(m.path for m in graph.modules)
    if repeated is not None:
        raise InternalError(f"two modules have the path `{repeated}`")


def _values(graph: Graph) -> None:
    made = {i.name for i in graph.inputs}
    for node in graph.nodes:
        for ref in node.refs():
            if ref.name not in made:
                raise _illegal(node, f"reads `{ref}` before it is made")
        for weight in node.weight_refs():
            if weight.name not in graph.weight:
                raise _illegal(node, f"reads the unknown weight `{weight}`")
        if not is_functional(node.op):
            raise _illegal(node, "writes in place")
        _typed(graph, node)
        made.add(node.name)


def _typed(graph: Graph, node: Node) -> None:
    if node.type is None:
        raise _illegal(node, "has no type")
    if isinstance(node.type, TensorType) and len(node.type.symbols) != node.type.rank:
        raise InternalError(f"node {node.name} has more or fewer symbols than dimensions")
    match node.op, node.args:
        case "getitem", (Ref(name), int(index)):
            whole = graph.types[name]
            if not isinstance(whole, tuple) or not -len(whole) <= index < len(whole):
                raise _illegal(node, f"takes an item of a {whole}")
            if whole[index] != node.type:
                raise _illegal(node, f"has another type than the item, {whole[index]}")
        case "size", (Ref() | WeightRef(), int()):
            if not isinstance(node.type, ScalarType):
                raise _illegal(node, "measures a size that is not a number")
        case (("getitem" | "size"), _):
            raise _illegal(node, "takes a value and a number")
        case op, _ if op.startswith("scalar.") and not isinstance(node.type, ScalarType):
            raise _illegal(node, "computes something else than a number")


def _scopes(graph: Graph) -> None:
    if graph.modules and graph.modules[0].path != "":
        raise InternalError("the first module is not the root")
    closed: set[Call] = set()
    open_: tuple[Call, ...] = ()
    for node in graph.nodes:
        if not node.scope or node.scope[0].path != "":
            raise _illegal(node, "has a scope that does not start at the root")
        shared = _shared(open_, node.scope)
        closed.update(open_[shared:])
        for call in node.scope[shared:]:
            if call in closed:
                raise _illegal(node, f"opens the call {call} again")
            if graph.modules and call.path not in graph.module:
                raise _illegal(node, f"is in the unknown module `{call.path}`")
        open_ = node.scope


def _trees(graph: Graph) -> None:
    known = set(graph.types)
    passed = [ref.name for p in graph.parameters for ref in leaves(p.tree)]
    if sorted(passed) != sorted(i.name for i in graph.inputs):
        raise InternalError(f"the parameters hold the inputs {passed}")
    for ref in graph.outputs:
        if ref.name not in known:
            raise InternalError(f"the graph returns the unknown value `{ref}`")
    for weight in _weights(graph.output):
        if weight.name not in graph.weight:
            raise InternalError(f"the graph returns the unknown weight `{weight}`")


def _weights(tree: Tree) -> Iterator[WeightRef]:
    match tree:
        case WeightRef():
            yield tree
        case Sequence_(items=items):
            for item in items:
                yield from _weights(item)
        case Dict_(items=pairs):
            for _, item in pairs:
                yield from _weights(item)


def _shared(a: tuple[Call, ...], b: tuple[Call, ...]) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x is not y and x != y:
            break
        length += 1
    return length


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((n for n in names if n in seen or seen.add(n)), None)  # type: ignore[func-returns-value]


def _illegal(node: Node, rule: str) -> InternalError:
    where = f" ({node.line})" if node.line else ""
    return InternalError(f"illegal graph: a node {rule}{where}\n  {node}")
