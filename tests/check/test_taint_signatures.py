"""The signature table predicts what depends on what: every operator is asked by experiment.

All calls of `operators` are one model, their operands its parameters, so that nothing is frozen
that the operator itself does not freeze. Then, for every free atom of an operand's axis:

- an output that carries the atom depends, along it, on the same channel only;
- where no output carries it, it is contracted: with the channel zero in one operand, the channel of
the others does not matter; and a lone operand enters linearly, so that a zero adds nothing;
- anything else must be recorded as mixing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from prunec import trace
from prunec.check import taint
from prunec.ir.axis import Atom, Axis, atoms, owner
from prunec.ir.graph import Graph, Node, WeightRef
from prunec.ir.group import Axes
from prunec.passes import axes
from tests.check.operators import CALLS, EXEMPT, Operands


class EveryOperator(Operands):
    """The sum of all elements that all calls return."""

    def forward(self, x: Tensor) -> Tensor:
        for results in self.results():
            for out in results:
                x = x + (out.abs() if out.is_complex() else out).sum()
        return x


@dataclass(frozen=True)
class Case:
    """One operator as a function of its weights, with their axes and those of its outputs."""

    node: Node
    function: Callable[..., Any]
    tensors: tuple[Tensor, ...]
    inputs: tuple[tuple[Axis, ...], ...]
    outputs: tuple[tuple[Axis, ...], ...]


@pytest.fixture(scope="module")
def solved() -> tuple[Graph, dict[str, Tensor], Axes]:
    traced = trace.run(EveryOperator().eval(), (torch.randn(2, 1),))
    return traced.graph, traced.weights, axes.run(traced.graph)


def test_every_operator_is_asked() -> None:
    asked = {name.split()[0] for name in CALLS}
    assert set(axes.known_operators()) - EXEMPT - asked == set()
    assert asked & EXEMPT == set()


@pytest.mark.parametrize("name", CALLS)
def test_signature(solved: tuple[Graph, dict[str, Tensor], Axes], name: str) -> None:
    case = _case(*solved, name)
    facts = solved[2]
    for which, dims in enumerate(case.inputs):
        for dim, axis in enumerate(dims):
            free = {a.id: a for a in atoms(axis) if a.id not in facts.frozen}
            exact = [a for a in free.values() if case.node.name not in facts.mixing.get(a.id, ())]
            if not exact:
                continue
            found = taint.dependence(case.function, case.tensors, which, dim)
            for atom in exact:
                _claim(case, which, dim, atom, found)


def _claim(case: Case, which: int, dim: int, atom: Atom, found: taint.Dependence) -> None:
    rows = torch.from_numpy(owner(case.inputs[which][dim], atom.id))
    carried = [any(atom in atoms(axis) for axis in dims) for dims in case.outputs]
    if not any(carried):
        return _contracted(case, which, dim, atom)
    for (output, out_dim), depends in found.items():
        where = f"{case.node}: operand {which}, dimension {dim}, {atom} -> {output}, {out_dim}"
        axis = case.outputs[output][out_dim]
        mine = depends[rows >= 0]
        if not carried[output]:
            assert not mine.any(), where
        elif atom in atoms(axis):
            columns = torch.from_numpy(owner(axis, atom.id))
            same = rows[rows >= 0][:, None] == columns[None, :]
            assert not taint.disagreements(mine, same), where
            channels = torch.zeros(atom.size).index_add(0, rows[rows >= 0], mine.any(1).float())
            assert not mine.any() or channels.all(), where
    return None


def _contracted(case: Case, which: int, dim: int, atom: Atom) -> None:
    others = [
        (k, d)
        for k, dims in enumerate(case.inputs)
        for d, axis in enumerate(dims)
        if k != which and atom in atoms(axis)
    ]
    rows = owner(case.inputs[which][dim], atom.id)
    index = int((rows == 0).nonzero()[0][0])
    if not others:
        assert taint.is_linear(case.function, case.tensors, which, dim, index), str(case.node)
    zeroed = [t.clone() for t in case.tensors]
    zeroed[which].index_fill_(dim, torch.from_numpy((rows == 0).nonzero()[0]), 0)
    for other, other_dim in others:
        found = taint.dependence(case.function, zeroed, other, other_dim)
        mine = torch.from_numpy(owner(case.inputs[other][other_dim], atom.id) == 0)
        assert not any(depends[mine].any() for depends in found.values()), str(case.node)


def _case(graph: Graph, weights: dict[str, Tensor], facts: Axes, name: str) -> Case:
    number, base = list(CALLS).index(name), name.split(maxsplit=1)[0]
    node = next(
        n
        for n in graph.nodes
        if n.op.startswith(f"aten.{base}.")
        and all(r.name.startswith(f"c{number}_") for r in n.weight_refs())
        and any(True for _ in n.weight_refs())
    )
    names = tuple(dict.fromkeys(r.name for r in node.weight_refs()))
    read = {n.args[1] for n in graph.users[node.name] if n.op == "getitem"}
    dims = tuple(_tensors(facts.values[node.name], node))
    # What nothing reads is claimed to be nothing: the statistics of a fused norm.
    shown = [k for k in range(len(dims)) if k in read] if isinstance(node.type, tuple) else [0]
    return Case(
        node,
        _function(node, names, shown),
        tuple(weights[n] for n in names),
        tuple(facts.weights[n] for n in names),
        tuple(dims[k] for k in shown),
    )


def _function(node: Node, names: Sequence[str], shown: Sequence[int]) -> Callable[..., Any]:
    namespace, base, overload = node.op.split(".")
    op = getattr(getattr(getattr(torch.ops, namespace), base), overload)

    def function(*tensors: Tensor) -> Any:
        given = dict(zip(names, tensors, strict=True))

        def value(argument: Any) -> Any:
            if isinstance(argument, WeightRef):
                return given[argument.name]
            if isinstance(argument, tuple):
                return [value(item) for item in argument]
            return getattr(torch, argument.name) if hasattr(argument, "name") else argument

        result = op(*map(value, node.args), **{k: value(a) for k, a in node.kwargs})
        return [result[k] for k in shown] if isinstance(node.type, tuple) else result

    return function


def _tensors(value: Any, node: Node) -> Iterator[tuple[Axis, ...]]:
    if isinstance(node.type, tuple):
        yield from value
    else:
        yield value
