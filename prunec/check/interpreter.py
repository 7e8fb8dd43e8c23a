"""Interpreter: the original graph, node by node, with what is removed masked at the input of every
consumer, and with the operands of sums left out that are dropped.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prunec.check import dropped, independence, samples
from prunec.check.contraction import CONTRACTIONS
from prunec.check.mixing import MIXING
from prunec.check.norms import NORMS
from prunec.check.plain import is_plain
from prunec.check.recurrent import RECURRENT
from prunec.check.removed import Keep, Removed
from prunec.check.routing import ROUTING
from prunec.check.site import Refused, Rule, Site
from prunec.diagnostics import Diagnostic, InternalError, PruneError
from prunec.ir.graph import Argument, Device, Graph, InTraining, Node, Ref, TorchName, WeightRef

RULES: Mapping[str, Rule] = {**CONTRACTIONS, **MIXING, **NORMS, **RECURRENT, **ROUTING}
SCALARS: Mapping[str, Callable[..., Any]] = {
    "and": operator.and_,
    "or": operator.or_,
    "not": operator.not_,
    "min": min,
    "max": max,
    "int": int,
    "float": float,
    "ceil": math.ceil,
    "floor": math.floor,
    "trunc": math.trunc,
    "ite": lambda test, yes, no: yes if test else no,
}


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    removed: Removed,
    inputs: Sequence[Tensor],
    *,
    train: bool = False,
) -> dict[str, Any]:
    """The values that the graph returns, by the name of their `Ref`.

    ``weights`` and ``inputs`` (in the order of ``graph.inputs``) are taken in the dtypes that they
    have.

    Raises:
        PruneError: P0803 where an operator combines the indices of a pruned axis in a way that has
            no masked form here, and where what is dropped or absent is needed all the same.
    """
    rest = dropped.run(graph, removed)
    values: dict[str, Any] = dict(zip((i.name for i in graph.inputs), inputs, strict=True))
    present = {name: w for name, w in weights.items() if name not in removed.absent}
    machine = _Machine(present, *_kept(graph, removed, inputs), train=train, values=values)
    returned = {ref.name for ref in graph.outputs}
    dying = _deaths(rest, returned)
    for node in rest:
        values[node.name] = machine.evaluate(node)
        for name in dying.get(node.name, ()):
            del values[name]
    return {name: values[name] for name in returned}


def _kept(
    graph: Graph, removed: Removed, inputs: Sequence[Tensor]
) -> tuple[dict[str, Keep], dict[str, Keep]]:
    try:
        return removed.at(graph, samples.given(graph, inputs))
    except ValueError as fault:
        raise PruneError(Diagnostic("P0803", f"cannot check a pruned axis: {fault}")) from None


def _deaths(nodes: Sequence[Node], returned: set[str]) -> dict[str, list[str]]:
    """For each node the values that it is the last to read."""
    last = {ref.name: node.name for node in nodes for ref in node.refs()}
    dying: dict[str, list[str]] = {}
    for value, reader in last.items():
        if value not in returned:
            dying.setdefault(reader, []).append(value)
    return dying


class _Machine:
    """Weights, values so far, and what is kept of them."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        kept_values: Mapping[str, Keep],
        kept_weights: Mapping[str, Keep],
        *,
        train: bool,
        values: dict[str, Any],
    ) -> None:
        self.weights = weights
        self.values = values
        self.kept_values = kept_values
        self.kept_weights = kept_weights
        self.train = train

    def evaluate(self, node: Node) -> Any:
        """The value of a node, by the rule of its operator."""
        if node.op == "getitem":
            source, position = map(self.value, node.args)
            return source[position]
        if node.op == "size":
            tensor, dim = map(self.value, node.args)
            return tensor.shape[dim]
        if node.op.startswith("scalar."):
            name = node.op.removeprefix("scalar.")
            return (SCALARS.get(name) or getattr(operator, name))(*map(self.value, node.args))
        site = self._site(node)
        try:
            result = _apply(site)
        except Refused as fault:
            raise _refusal(node, str(fault)) from None
        _fits(node, result, site.result)
        return result

    def _site(self, node: Node) -> Site:
        op = overload(node.op)
        schema = op._schema.arguments
        positional = [a.name for a in schema if not a.kwarg_only]
        given = {**dict(zip(positional, node.args, strict=False)), **dict(node.kwargs)}
        return Site(
            node=node,
            op=op,
            args={
                a.name: self.value(given[a.name]) if a.name in given else a.default_value
                for a in schema
            },
            keep={name: self.keep(argument) for name, argument in given.items()},
            result=self.kept_values.get(node.name),
            train=self.train,
        )

    def value(self, argument: Argument) -> Any:
        match argument:
            case Ref(name):
                return self.values[name]
            case WeightRef(name):
                return self.weights[name]
            case TorchName(name):
                return getattr(torch, name)
            case Device(name):
                return torch.device(name)
            case InTraining():
                return 0.0
            case tuple():
                return [self.value(item) for item in argument]
            case _:
                return argument

    def keep(self, argument: Argument) -> Any:
        match argument:
            case Ref(name):
                return self.kept_values.get(name)
            case WeightRef(name):
                return self.kept_weights.get(name)
            case tuple():
                return [self.keep(item) for item in argument]
            case _:
                return None


def overload(op: str) -> Any:
    """The torch operator of a full name (``aten.conv2d.default``)."""
    found: Any = torch.ops
    for part in op.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise InternalError(f"no operator is named `{op}`")
    return found


def _apply(site: Site) -> Any:
    rule = RULES.get(site.base)
    if rule is not None:
        return rule(site)
    if site.touched and not is_plain(site.op, site.base):
        return independence.run(site)
    return site.call()


def _fits(node: Node, value: Any, keep: Keep) -> None:
    """The masks of a result must have its rank and sizes."""
    if isinstance(value, tuple | list):
        for item, kept in zip(value, keep or (), strict=False):
            _fits(node, item, kept)  # type: ignore[arg-type]
    elif isinstance(value, Tensor) and keep:
        sizes = [
            len(k) if isinstance(k, Tensor) else n for k, n in zip(keep, value.shape, strict=True)
        ]
        if sizes != list(value.shape):
            raise InternalError(
                f"what is kept of `{node}` has sizes {sizes}, not {list(value.shape)}"
            )


def _refusal(node: Node, reason: str) -> PruneError:
    notes = (reason, *((f"at {node.line}",) if node.line else ()))
    return PruneError(
        Diagnostic(
            "P0803",
            f"cannot check `{node.op}` along a pruned axis (`{node.name}`)",
            notes=notes,
            help=f"freeze the layers around `{node.module or 'the model'}`",
        )
    )
