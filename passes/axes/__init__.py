"""Axis inference: every dimension of every tensor gets an axis expression, by unification
(`solver`).

Each operator is an equation between the axes of its operands and its result: a signature in the
table, or a short function where arguments decide. An operator without one is asked by experiment
(`probe`); where that fails, every axis that it touches is frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from prunec.ir.axis import Atom, Axis, size
from prunec.ir.graph import Graph, TensorType, leaves, weight_leaves
from prunec.ir.group import Axes, AxesOfValue, Frozen, Unknown
from prunec.passes.axes import indices, routing, signature, vocabulary
from prunec.passes.axes.contractions import CONTRACTIONS
from prunec.passes.axes.indexing import INDEXING
from prunec.passes.axes.joins import JOINS
from prunec.passes.axes.native import NATIVE
from prunec.passes.axes.pointwise import POINTWISE, is_pointwise, number, pointwise
from prunec.passes.axes.positions import POSITIONS
from prunec.passes.axes.probe import probe
from prunec.passes.axes.recurrent import RECURRENT
from prunec.passes.axes.reductions import REDUCTIONS
from prunec.passes.axes.routing import ROUTING
from prunec.passes.axes.shapes import SHAPES
from prunec.passes.axes.shuffles import SHUFFLES
from prunec.passes.axes.site import Facts, Items, Site, Unsupported, Value, check
from prunec.passes.axes.slices import SLICES
from prunec.passes.axes.table import signatures
from prunec.passes.axes.windows import WINDOWS

TABLES = (
    *(SHAPES, SHUFFLES, JOINS, SLICES, INDEXING, POSITIONS),
    *(CONTRACTIONS, RECURRENT, REDUCTIONS, NATIVE, WINDOWS, POINTWISE),
)
RULES: dict[str, Callable[[Site], Value]] = {
    name: rule for table in TABLES for name, rule in table.items()
}


def run(graph: Graph, *, renumber: bool = False) -> Axes:
    """Solve the axes of a graph. With ``renumber``, rows that token ids select may go (see
    `vocabulary`): the ids are renumbered then.
    """
    facts = Facts(graph)
    _declare_inputs(facts)
    _declare_weights(facts)
    if renumber:
        vocabulary.declare(facts)
    for node in graph.nodes:
        facts.values[node.name] = _equations(Site(facts, node))
    _freeze_outputs(facts)
    _keep_least(facts)
    return _solution(facts)


def known_operators() -> tuple[str, ...]:
    """Names of the operators that have a signature or a function, sorted."""
    return tuple(sorted({*RULES, *ROUTING, *signatures()}))


def _declare_inputs(facts: Facts) -> None:
    for given in facts.graph.inputs:
        why = Frozen(f"it is an axis of the model's input `{given.name}`", given.name)
        facts.values[given.name] = tuple(facts.solver.fresh(n, why) for n in given.type.shape)


def _declare_weights(facts: Facts) -> None:
    read = {ref.name for node in facts.graph.nodes for ref in node.weight_refs()}
    unread = Frozen("the traced forward does not read this tensor")
    for weight in facts.graph.weights:
        why = None if weight.name in read else unread
        facts.weights[weight.name] = tuple(facts.solver.fresh(n, why) for n in weight.type.shape)


def _equations(site: Site) -> Value:
    """The axes of a node's result, by the first rule that covers it; else everything it touches is
    frozen.
    """
    try:
        result = _apply(site)
    except Unsupported as fault:
        return _refuse(site, f"{fault}")
    check(site.node.type, result, site.node)
    return result


def _apply(site: Site) -> Value:
    if site.base not in _TAKE_EMPTY and _has_empty_axis(site):
        raise Unsupported("an axis is empty")
    if site.node.op == "size" or site.node.op.startswith("scalar."):
        return number(site)
    return routing.run(site, _plain)


def _plain(site: Site) -> Value:
    if site.base in signatures():
        return signature.apply(site, signatures()[site.base])
    if site.base in RULES:
        return RULES[site.base](site)
    if is_pointwise(site):
        return pointwise(site)
    return probe(site)


_TAKE_EMPTY = frozenset({"slice", "cat"})


def _has_empty_axis(site: Site) -> bool:
    kind = site.node.type
    made = kind.shape if isinstance(kind, TensorType) else ()
    return 0 in made or any(size(a) == 0 for dims in site.every_tensor() for a in dims)


def _refuse(site: Site, reason: str) -> Value:
    node = site.node
    site.facts.unknown.append(Unknown(node.name, node.op, node.line, reason))
    for dims in site.every_tensor():
        for axis in dims:
            site.freeze(axis, reason)
    indices.forget(site, reason)
    return site.opaque(reason)


def _freeze_outputs(facts: Facts) -> None:
    why = Frozen("the model returns it")
    returned = {ref.name for ref in leaves(facts.graph.output)}
    for name in returned:
        _freeze_value(facts, facts.values[name], why)
    for ref in weight_leaves(facts.graph.output):
        for axis in facts.weights[ref.name]:
            facts.solver.freeze(axis, why)
    for (name, _), axis in facts.indexes.items():
        if name in returned:
            facts.solver.freeze(axis, Frozen("the model returns indices into it"))


def _keep_least(facts: Facts) -> None:
    """An axis of several atoms that must keep some keeps them all."""
    for axis, count, why in facts.least:
        if not isinstance(facts.solver.resolve(axis), Atom):
            facts.solver.freeze(axis, replace(why, reason=f"{count} of it must stay"))


def _freeze_value(facts: Facts, value: Value, why: Frozen) -> None:
    """Freeze the axes of a value; one that runs over all renumbered ids may be returned."""
    if isinstance(value, Items):
        for item in value:
            _freeze_value(facts, item, why)
        return
    ids = {facts.solver.resolve(axis) for axis in facts.renumbered.values()}
    for axis in value or ():
        if facts.solver.resolve(axis) not in ids:  # type: ignore[arg-type]
            facts.solver.freeze(axis, why)  # type: ignore[arg-type]


def _solution(facts: Facts) -> Axes:
    """Everything that was said, with bound atoms replaced."""
    memo: dict[Axis, Axis] = {}

    def resolve(axis: Axis) -> Axis:
        found = memo.get(axis)
        if found is None:
            found = memo[axis] = facts.solver.resolve(axis)
        return found

    def value(axes: Value) -> AxesOfValue:
        if isinstance(axes, Items):
            return Items(value(item) for item in axes)
        return None if axes is None else tuple(resolve(a) for a in axes)  # type: ignore[arg-type]

    weights = {name: tuple(map(resolve, axes)) for name, axes in facts.weights.items()}
    values = {name: value(axes) for name, axes in facts.values.items()}
    return Axes(
        values=values,
        weights=weights,
        sizes={
            name: tuple(replace(s, axis=resolve(s.axis)) for s in sizes)
            for name, sizes in facts.sizes.items()
        },
        frozen=_frozen(facts),
        mixing=_mixing(facts),
        roles=facts.roles,
        pins={
            name: tuple(replace(p, axis=resolve(p.axis)) for p in pins)
            for name, pins in facts.pins.items()
        },
        uses=(
            *((resolve(axis), kind) for axis, kind in facts.uses),
            *((atom, "experts") for atom in routing.experts(facts)),
        ),
        unknown=tuple(facts.unknown),
        probed=tuple(facts.probed),
        least=_least(facts),
        renumbered={name: resolve(axis) for name, axis in facts.renumbered.items()},
    )


def _frozen(facts: Facts) -> dict[int, Frozen]:
    found: dict[int, Frozen] = {}
    for axes in (*facts.weights.values(), *map(_flat, facts.values.values())):
        for axis in axes:
            for atom in facts.solver.atoms(axis):
                why = facts.solver.why_frozen(atom)
                if why is not None:
                    found[atom.id] = why
    return found


def _flat(value: Value) -> tuple[Axis, ...]:
    if isinstance(value, Items):
        return tuple(a for item in value for a in _flat(item))
    return value or ()  # type: ignore[return-value]


def _mixing(facts: Facts) -> dict[int, tuple[str, ...]]:
    found: dict[int, dict[str, None]] = {}
    for axis, node in facts.mixing:
        for atom in facts.solver.atoms(axis):
            found.setdefault(atom.id, {})[node] = None
    return {atom: tuple(nodes) for atom, nodes in found.items()}


def _least(facts: Facts) -> dict[int, int]:
    found: dict[int, int] = {}
    for axis, count, _ in facts.least:
        for atom in facts.solver.atoms(axis):
            if facts.solver.why_frozen(atom) is None:
                found[atom.id] = max(count, found.get(atom.id, 1))
    return found
