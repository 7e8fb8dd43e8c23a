"""Dropped: what is left to evaluate of a graph in which operands of sums count as zero.

A sum without one of its operands is the other one. Only plain sums are taken, of one type and
without broadcasting; what no output needs any more is not evaluated, so that whatever is absent is
shown to be needless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from prunec.check.removed import Removed
from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import Graph, Node, Ref, weight_leaves


def run(graph: Graph, removed: Removed) -> tuple[Node, ...]:
    """The nodes to evaluate, in order: all of them where nothing is dropped.

    Raises:
        PruneError: P0803 where what is dropped is no operand of a plain sum, where nothing is left
            of a value that is needed, and where a node that is needed reads an absent weight.
    """
    if not removed.dropped and not removed.absent:
        return graph.nodes
    _known(graph, removed.dropped)
    nothing: set[str] = set()
    found: list[Node] = []
    for node in graph.nodes:
        zero = removed.dropped.get(node.name, frozenset()) | nothing
        if any(r.name in zero for r in node.refs()):
            node = _without(graph, node, zero)  # noqa: PLW2901
            if not node.args:
                nothing.add(node.name)
                continue
        found.append(node)
    for ref in graph.outputs:
        if ref.name in nothing:
            raise _refusal(f"nothing is left of the output `{ref.name}`")
    return _needed(found, graph, removed.absent)


def _known(graph: Graph, dropped: Mapping[str, frozenset[str]]) -> None:
    for name, operands in dropped.items():
        read = {r.name for r in graph.node[name].refs()} if name in graph.node else set()
        if not operands <= read:
            raise _refusal(f"`{name}` does not add up {', '.join(sorted(operands - read))}")


def _without(graph: Graph, node: Node, zero: frozenset[str] | set[str]) -> Node:
    """The sum as what is left of it: a copy of one operand, or no arguments for nothing at all."""
    plain = (
        node.op == "aten.add.Tensor"
        and len(node.args) == 2
        and len({*node.args}) == 2
        and all(key == "alpha" and value == 1 for key, value in node.kwargs)
    )
    for argument in node.args:
        same = isinstance(argument, Ref) and graph.types[argument.name] == node.type
        if not plain or not same:
            raise _refusal(f"`{node}` is no plain sum of values of one type")
    rest = tuple(a for a in node.args if isinstance(a, Ref) and a.name not in zero)
    return replace(node, op="aten.alias.default", args=rest, kwargs=())


def _needed(nodes: Sequence[Node], graph: Graph, absent: frozenset[str]) -> tuple[Node, ...]:
    """The nodes that some output depends on; none of them may read what is absent."""
    wanted = {r.name for r in graph.outputs}
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.name not in wanted:
            continue
        wanted.update(r.name for r in node.refs())
        kept.append(node)
        lacking = {r.name for r in node.weight_refs()} & absent
        if lacking:
            raise _refusal(f"`{node.name}` needs {', '.join(sorted(lacking))}, which is absent")
    returned = {w.name for w in weight_leaves(graph.output)} & absent
    if returned:
        raise _refusal(f"the absent weight {', '.join(sorted(returned))} is returned")
    return tuple(reversed(kept))


def _refusal(reason: str) -> PruneError:
    return PruneError(
        Diagnostic(
            "P0803",
            f"cannot check a residual branch that is removed: {reason}",
            help="this is a defect of prunec; leave the block out of `prune blocks` meanwhile",
        )
    )
