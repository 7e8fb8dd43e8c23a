"""Drop: a graph without some of its residual branches.

A sum that loses an operand is the other operand, for all that read it. Nodes that no output needs
any more go, and with them the weights that are a branch's own; modules stay, for their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from prunec.diagnostics import InternalError
from prunec.ir.graph import (
    Argument,
    Graph,
    Module,
    Node,
    Ref,
    Tree,
    leaves,
    substitute,
)
from prunec.ir.group import Branch


def run(graph: Graph, branches: Iterable[Branch]) -> Graph:
    """The graph without the branches; the same graph where there are none."""
    lost: dict[str, set[str]] = defaultdict(set)
    weights: set[str] = set()
    for branch in branches:
        lost[branch.node].add(branch.value.name)
        weights.update(branch.weights)
    if not lost:
        return graph
    nodes, stands_for = _without(graph, lost)
    output = substitute(graph.output, lambda ref: _left(ref, stands_for))
    kept = _needed(graph, nodes, output)
    names = {n for w in graph.weights if w.name in weights for n in (w.name, *w.ties)}
    return replace(
        graph,
        nodes=kept,
        output=output,
        weights=tuple(w for w in graph.weights if w.name not in weights),
        modules=tuple(_module(m, names) for m in graph.modules),
    )


def _without(
    graph: Graph, lost: Mapping[str, set[str]]
) -> tuple[tuple[Node, ...], dict[str, Ref | None]]:
    """The nodes that are left, and what each sum that is gone stands for (None: nothing)."""
    stands_for: dict[str, Ref | None] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        gone = lost.get(node.name, set()) | {
            r.name for r in node.refs() if stands_for.get(r.name, r) is None
        }
        if not gone:
            nodes.append(_reading(node, stands_for))
            continue
        rest = [r for r in node.refs() if r.name not in gone]
        stands_for[node.name] = stands_for.get(rest[0].name, rest[0]) if rest else None
    return tuple(nodes), stands_for


def _reading(node: Node, stands_for: Mapping[str, Ref | None]) -> Node:
    if all(r.name not in stands_for for r in node.refs()):
        return node
    return replace(
        node,
        args=tuple(_in(a, stands_for) for a in node.args),
        kwargs=tuple((k, _in(v, stands_for)) for k, v in node.kwargs),
    )


def _in(argument: Argument, stands_for: Mapping[str, Ref | None]) -> Argument:
    match argument:
        case Ref(name):
            return stands_for.get(name, argument)
        case tuple():
            return tuple(_in(a, stands_for) for a in argument)
        case _:
            return argument


def _left(ref: Ref, stands_for: Mapping[str, Ref | None]) -> Ref:
    found = stands_for.get(ref.name, ref)
    if found is None:
        raise InternalError(f"nothing is left of the output `{ref.name}`")
    return found


def _needed(graph: Graph, nodes: tuple[Node, ...], output: Tree) -> tuple[Node, ...]:
    """All but the nodes that only what is gone needed, and those that read one of these."""
    before = _live(graph.nodes, graph.output)
    now = _live(nodes, output)
    made = {i.name for i in graph.inputs}
    kept = []
    for node in nodes:
        stays = node.name in now or node.name not in before
        if stays and all(r.name in made for r in node.refs()):
            kept.append(node)
            made.add(node.name)
    return tuple(kept)


def _live(nodes: tuple[Node, ...], output: Tree) -> set[str]:
    needed = {r.name for r in leaves(output)}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(r.name for r in node.refs())
    return needed


def _module(module: Module, gone: set[str]) -> Module:
    prefix = f"{module.path}." if module.path else ""
    kept = tuple(n for n in module.weights if prefix + n not in gone)
    return module if kept == module.weights else replace(module, weights=kept)
