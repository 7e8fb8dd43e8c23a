"""Equations of routing: tensors whose integers index an axis, as a top-k over experts gives them.

The table of such tensors is kept by `indices`. What an index into an axis E leads to (a gather of
weights, a one-hot, a histogram) shares E.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from prunec.ir.axis import Atom, Axis, size
from prunec.ir.graph import Argument, Graph, Ref, WeightRef
from prunec.ir.group import Role
from prunec.passes.axes import vocabulary
from prunec.passes.axes.indices import (
    CASTS,
    COMPARED,
    RESHAPED,
    index_of,
    keep_indexing,
    note,
    pass_on,
)
from prunec.passes.axes.shapes import broadcast
from prunec.passes.axes.site import Dims, Facts, Items, Site, Unsupported, Value, base_of

Rule: TypeAlias = Callable[[Site], "Value | None"]


def run(site: Site, plain: Rule) -> Value:
    """The axes of a node's result; ``plain`` gives them where no index is involved."""
    rule = ROUTING.get(site.base)
    found = rule(site) if rule is not None else None
    if found is not None:
        return found
    result = plain(site)
    pass_on(site)
    return result


def experts(facts: Facts) -> tuple[Atom, ...]:
    """Atoms that a softmax or a top-k weighs and along which matrices are stacked."""
    ops = {node.name: base_of(node) for node in facts.graph.nodes}
    gated = {a.id for x, n in facts.mixing if ops[n] in _GATES for a in facts.solver.atoms(x)}
    kernels = {r.name for n in facts.graph.nodes if "conv" in n.op for r in n.weight_refs()}
    stacked = (d[0] for w, d in facts.weights.items() if len(d) > 2 and w not in kernels)
    found = {a.id: a for axis in stacked for a in facts.solver.atoms(axis) if a.id in gated}
    return tuple(found.values())


# -- what makes indices
# ------------------------------------------------------------------------------------------------


def topk(site: Site) -> Value:
    """k of the axis: the same on the kept slice, of which k must be left."""
    axes = site.dims("self")
    dim, count = site.dimension(site.integer("dim"), len(axes)), site.integer("k")
    if not axes:
        raise Unsupported("it is a number")
    _chosen(site, axes[dim], count)
    note(site, axes[dim], 1)
    taken = site.fixed(count, "top-k takes this many")
    dims = (*axes[:dim], taken, *axes[dim + 1 :])
    return Items((dims, dims))


def extreme(site: Site) -> Value | None:
    """argmax, argmin, and max, min along one dimension."""
    axes, dim = site.dims("self"), site.arg("dim")
    if not isinstance(dim, int) or not axes:
        return None
    dim = site.dimension(dim, len(axes))
    _chosen(site, axes[dim], 1)
    rest = (*axes[:dim], *((site.fixed(1, ""),) if site.arg("keepdim") else ()), *axes[dim + 1 :])
    pair = isinstance(site.node.type, tuple)
    note(site, axes[dim], 1 if pair else None)
    return Items((rest, rest)) if pair else rest


def positions(site: Site) -> Value | None:
    """An arange that is only compared with indices numbers an axis of its own."""
    end, start, step = site.arg("end"), site.arg("start", 0), site.arg("step", 1)
    if not isinstance(end, int) or (start or 0, step) != (0, 1) or end < 1:
        return None
    if not _only_compared(site.facts.graph, site.node.name):
        return None
    axis = site.solver.fresh(end)
    site.counts(site.path("end"), axis)
    note(site, axis)
    return (axis,)


def _only_compared(graph: Graph, name: str) -> bool:
    users = graph.users[name]
    return bool(users) and all(
        base_of(u) in COMPARED or (base_of(u) in RESHAPED and _only_compared(graph, u.name))
        for u in users
    )


def _chosen(site: Site, axis: Axis, count: int) -> None:
    site.mixes(axis)
    site.facts.chosen.append(axis)
    if count > 1:
        site.at_least(axis, count)
    if count >= size(axis):
        site.freeze(axis, "all of it is taken")


# -- what reads them
# ------------------------------------------------------------------------------------------------


def one_hot(site: Site) -> Value | None:
    """A new axis that is the indexed one."""
    axis = index_of(site, site.arg("self"))
    if axis is None or site.arg("num_classes") != size(axis):
        return None
    site.counts(site.path("num_classes"), axis)
    return (*site.dims("self"), axis)


def histogram(site: Site) -> Value | None:
    """How often each index occurs: one bin for each, from 0 to the last."""
    axis = index_of(site, site.arg("self"))
    if axis is None:
        return None
    length = size(axis)
    if (site.arg("bins"), site.arg("min"), site.arg("max")) != (length, 0, length - 1):
        return None
    site.counts(site.path("bins"), axis)
    site.counts(site.path("max"), axis, offset=-1)
    return (axis,)


def running_sum(site: Site) -> Value | None:
    """A sum over the experts so far: those that stay follow each other in order."""
    axes, dim = site.dims("self"), site.arg("dim")
    if not isinstance(dim, int) or not axes or not _is_chosen(site, axes[dim]):
        return None
    site.mixes(axes[dim])
    if len(axes) == 1:
        site.facts.offsets.add(site.node.name)
    return axes


def compare(site: Site) -> Value | None:
    """Two indices into one axis are equal before as after."""
    left, right = (index_of(site, site.arg(name)) for name in ("self", "other"))
    if left is None or right is None or size(left) != size(right):
        return None
    site.unify(left, right)
    return tuple(broadcast(site, [site.dims("self"), site.dims("other")]))


def index(site: Site) -> Value | None:
    """``x[i]``: the axis that is indexed is the one that the integers index."""
    given = site.arg("indices")
    if not isinstance(given, tuple) or all(index_of(site, item) is None for item in given):
        return None
    axes = site.dims("self")
    tensors = {d: dims for d, item in enumerate(given) if (dims := site.dims_of(item)) is not None}
    if any("int" not in site.dtype(given[d]) for d in tensors):
        raise Unsupported("it is indexed by a mask")
    for d in tensors:
        _look_up(site, site.arg("self"), axes, d, given[d])
    picked = broadcast(site, list(tensors.values()))
    rest = [a for d, a in enumerate(axes) if d not in tensors]
    first, last = min(tensors), max(tensors)
    at = first if len(tensors) == last - first + 1 else 0
    keep_indexing(site)
    return (*rest[:at], *picked, *rest[at:])


def index_select(site: Site) -> Value | None:
    if index_of(site, site.arg("index")) is None or not site.dims("index"):
        return None
    axes = site.dims("self")
    dim = site.dimension(site.integer("dim"), len(axes))
    _look_up(site, site.arg("self"), axes, dim, site.arg("index"))
    keep_indexing(site)
    return (*axes[:dim], *site.dims("index"), *axes[dim + 1 :])


def embedding(site: Site) -> Value | None:
    """Rows of a table."""
    indices, weight, padding = (site.arg(n) for n in ("indices", "weight", "padding_idx"))
    if index_of(site, indices) is None or not isinstance(padding, int):
        return None
    if padding != -1 and not vocabulary.keep_row(site, padding):
        return None
    axes = site.dims("weight")
    _look_up(site, weight, axes, 0, indices)
    site.role(weight, 1, "produce")
    return (*site.dims("indices"), axes[1])


def gather(site: Site) -> Value | None:
    """Along one dimension the element that is indexed; along the others the one in its place."""
    indices = site.arg("index")
    if index_of(site, indices) is None:
        return None
    axes, picked = site.dims("self"), site.dims("index")
    dim = site.dimension(site.integer("dim"), len(axes))
    _same_places(site, dim, axes, picked)
    _look_up(site, site.arg("self"), axes, dim, indices)
    keep_indexing(site)
    return picked


def scatter(site: Site) -> Value | None:
    """Values written to, or added at, the elements that are indexed."""
    indices = site.arg("index")
    if index_of(site, indices) is None or index_of(site, site.arg("self")) is not None:
        return None
    axes, picked = site.dims("self"), site.dims("index")
    dim = site.dimension(site.integer("dim"), len(axes))
    _same_places(site, dim, axes, picked)
    site.freeze(picked[dim], "each index of it is written somewhere")
    if site.is_tensor("src"):
        if index_of(site, site.arg("src")) is not None:
            return None
        source = site.dims("src")
        _same_places(site, None, source, picked)
    _look_up(site, site.arg("self"), axes, dim, indices)
    return axes


def select(site: Site) -> Value | None:
    """One expert picked by its number."""
    axes = site.dims("self")
    dim = site.dimension(site.integer("dim"), len(axes))
    if not _is_chosen(site, axes[dim]):
        return None
    site.freeze(axes[dim], "one index of it is picked by its number")
    return (*axes[:dim], *axes[dim + 1 :])


def grouped_mm(site: Site) -> Value:
    """x[t, i] w[E, i, o] offs[E] -> [t, o]: rows up to ``offs[e]`` are multiplied by matrix e."""
    first, second = (
        ("input", "weight") if site.base == "transformers.grouped_mm_fallback" else ("self", "mat2")
    )
    x, w = site.dims(first), site.dims(second)
    if (len(x), len(w)) != (2, 3) or not site.is_tensor("offs") or site.is_tensor("bias"):
        raise Unsupported("it is no product of rows with one of several matrices")
    offsets, given = site.dims("offs"), site.arg("offs")
    site.unify(x[1], w[1])
    site.unify(offsets[0], w[0])
    if not (isinstance(given, Ref) and given.name in site.facts.offsets):
        site.freeze(w[0], "where its rows begin is not counted from indices")
    site.freeze(x[0], "its rows are sorted by expert")
    roles: tuple[Role, ...] = ("produce", "consume", "produce")
    for dim, role in enumerate(roles):
        source, at = _source(site, site.arg(second), dim)
        site.role(source, at, role)
    return (x[0], w[2])


def _look_up(site: Site, source: Argument, axes: Dims, dim: int, indices: Argument) -> None:
    """Say that a dimension is looked up by integers."""
    found = index_of(site, indices)
    if found is not None and size(found) == size(axes[dim]):
        site.unify(axes[dim], found)
        site.role(source, dim, "produce")
        return
    for axis in (axes[dim], *(() if found is None else (found,))):
        site.freeze(axis, "it is indexed")


def _same_places(site: Site, dim: int | None, axes: Dims, picked: Dims) -> None:
    """Along every dimension but ``dim`` index i stands for index i."""
    for d, (axis, other) in enumerate(zip(axes, picked, strict=True)):
        if d == dim:
            continue
        if size(axis) == size(other):
            site.unify(axis, other)
        else:
            site.freeze(axis, "a part of it is indexed")
            site.freeze(other, "it indexes a part")


# -- how
# ------------------------------------------------------------------------------------------------


def _is_chosen(site: Site, axis: Axis) -> bool:
    """Whether a top-k chooses from the axis."""
    resolved = site.solver.resolve(axis)
    return size(axis) > 1 and any(
        site.solver.resolve(chosen) == resolved for chosen in site.facts.chosen
    )


def _source(site: Site, argument: Argument, dim: int) -> tuple[Argument, int]:
    """The weight, and its dimension, behind a transposed or cast one."""
    graph = site.facts.graph
    while isinstance(argument, Ref) and argument.name in graph.node:
        node = graph.node[argument.name]
        if base_of(node) == "transpose":
            rank = len(site.dims_of(argument) or ())
            pair = [d % rank for d in node.args[1:3] if isinstance(d, int)]
            dim = pair[1 - pair.index(dim)] if dim in pair else dim
        elif base_of(node) not in CASTS:
            break
        argument = node.args[0]
    return (argument, dim) if isinstance(argument, WeightRef) else (None, dim)


_GATES = frozenset(
    "softmax _softmax _safe_softmax log_softmax _log_softmax topk argmax argmin max min".split()
)
ROUTING: dict[str, Rule] = {
    "topk": topk,
    **dict.fromkeys(("argmax", "argmin", "max", "min"), extreme),
    "arange": positions,
    "one_hot": one_hot,
    "histc": histogram,
    "cumsum": running_sum,
    **dict.fromkeys(("eq", "ne"), compare),
    "index": index,
    "index_select": index_select,
    "embedding": embedding,
    "gather": gather,
    **dict.fromkeys(("scatter", "scatter_add"), scatter),
    "select": select,
    **dict.fromkeys(("transformers.grouped_mm_fallback", "_grouped_mm"), grouped_mm),
}
"""Operators that make or read indices; None leaves them to the other rules."""
