"""Equations of the operators that re-arrange axes: reshapes, permutations, expansions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from prunec.ir.axis import ONE, Axis, size
from prunec.ir.graph import Argument, Graph, Node, Ref, TensorType
from prunec.ir.group import SizeOf
from prunec.passes.axes.site import Dims, Site, Unsupported, Value
from prunec.passes.axes.solver import concat, product


def reshape(site: Site) -> Value:
    """view, reshape, flatten, unflatten: the same row-major product, grouped anew."""
    result = regroup(site, site.dims("self"), site.shape())
    match site.base:
        case "view" | "_unsafe_view":
            count_sizes(site, "size", result)
        case "reshape":
            count_sizes(site, "shape", result)
        case "unflatten":
            rank = len(site.dims("self"))
            start = site.dimension(site.integer("dim"), rank)
            count_sizes(site, "sizes", result[start : start + len(result) - rank + 1])
    return result


def reshape_as(site: Site) -> Value:
    """The sizes are those of another tensor at run time, so the axes are the same."""
    result = regroup(site, site.dims("self"), site.shape())
    for axis, other in zip(result, site.dims("other"), strict=True):
        site.unify(axis, other)
    return result


def regroup(site: Site, axes: Dims, shape: Sequence[int]) -> Dims:
    """The axes of a tensor of the given shape with the same elements in the same order.

    Blocks of dimensions whose products agree are regrouped each on its own; a block with a boundary
    that cannot be met is frozen whole.
    """
    result: list[Axis] = []
    for inside, outside in _blocks([size(a) for a in axes], list(shape)):
        block = [axes[i] for i in inside]
        result += _regroup_block(site, block, [shape[j] for j in outside])
    return tuple(result)


def _blocks(left: list[int], right: list[int]) -> list[tuple[range, range]]:
    """The finest pairs of runs of dimensions with equal products."""
    if prod(left) != prod(right) or 0 in left:
        raise Unsupported("the number of elements changes or is zero")
    blocks, i, j = [], 0, 0
    while i < len(left) or j < len(right):
        start_i, start_j, a, b = i, j, 1, 1
        while True:
            if a <= b and i < len(left) and (a < b or i == start_i):
                a, i = a * left[i], i + 1
            elif j < len(right) and (b < a or j == start_j):
                b, j = b * right[j], j + 1
            else:
                break
            if a == b and (i > start_i or j > start_j):
                break
        blocks.append((range(start_i, i), range(start_j, j)))
    return blocks


def _regroup_block(site: Site, axes: Sequence[Axis], shape: Sequence[int]) -> list[Axis]:
    if len(axes) == 1 and len(shape) == 1:
        return [axes[0]]
    factors = [f for axis in axes for f in site.solver.factors(axis)]
    result: list[Axis] = []
    for length in reversed(shape):
        taken = site.solver.take_inner(factors, length)
        if taken is None:
            reason = f"a reshape to {tuple(shape)} cuts it where no channel ends"
            for axis in axes:
                site.freeze(axis, reason)
            return [site.fixed(n, reason) for n in shape]
        factors, inner = taken
        result.insert(0, product(inner))
    return result


def count_sizes(site: Site, argument: str, axes: Sequence[Axis]) -> None:
    """A list of sizes counts axes; -1 is left to torch.

    A size computed at run time from a dynamic one (``12 * N``) is replaced by -1 where every reader
    of it can do that, else recounted where it is computed, which makes its readers' axes one; what
    cannot be recounted freezes its axis.
    """
    sizes = site.arg(argument)
    items = sizes if isinstance(sizes, tuple) else (sizes,)
    inferred = -1 in items
    for position, (item, axis) in enumerate(zip(items, axes, strict=True)):
        if item == -1 or (isinstance(item, Ref) and _recounted(site, item, axis)):
            continue
        if isinstance(item, Ref) and not site.solver.is_frozen(axis):
            if inferred:
                site.freeze(axis, "its size is computed at run time")
                continue
            inferred = True
        site.counts(site.path(argument, position), axis)


def _recounted(site: Site, item: Ref, axis: Axis) -> bool:
    """Whether a size ``n * 12`` can be computed anew: every reader is a reshape to ``n`` times one
    and the same axis of 12.
    """
    facts = site.facts
    if all(_can_infer(facts.graph, user, item) for user in facts.graph.users[item.name]):
        return False
    node = facts.graph.node.get(item.name)
    counts = [p for p, a in enumerate(node.args) if type(a) is int] if node else []
    if node is None or node.op != "scalar.mul" or len(counts) != 1:
        return False
    if any(user.op not in _RESHAPES for user in facts.graph.users[item.name]):
        return False
    parted = site.solver.split(axis, node.args[counts[0]])  # type: ignore[arg-type]
    if parted is None or not site.solver.is_frozen(parted[0]):
        return False
    site.unify(facts.factors.setdefault(item.name, parted[1]), parted[1])
    facts.sizes.setdefault(item.name, [SizeOf((counts[0],), parted[1])])
    return True


def _can_infer(graph: Graph, reader: Node, item: Ref) -> bool:
    """Whether a reader's list of sizes has no -1 and no other computed size."""
    sizes = next((a for a in reader.args if isinstance(a, tuple) and item in a), ())
    computed = [i for i in sizes if isinstance(i, Ref) and i.name in graph.node]
    scalars = [i for i in computed if graph.node[i.name].op.startswith("scalar.")]
    return -1 not in sizes and scalars == [item]


def unsqueeze(site: Site) -> Value:
    axes = list(site.dims("self"))
    dim = site.integer("dim")
    axes.insert(dim if dim >= 0 else dim + len(axes) + 1, ONE)
    return tuple(axes)


def squeeze(site: Site) -> Value:
    axes = site.dims("self")
    dims: tuple[int, ...] = tuple(range(len(axes)))
    if site.base == "squeeze" and site.arg("dim") is not None:
        dims = tuple(site.dimension(d, len(axes)) for d in site.integers("dim"))
    return tuple(a for i, a in enumerate(axes) if not (i in dims and size(a) == 1))


def permute(site: Site) -> Value:
    axes = site.dims("self")
    return tuple(axes[site.dimension(d, len(axes))] for d in site.integers("dims"))


def transpose(site: Site) -> Value:
    axes = list(site.dims("self"))
    names = ("axis0", "axis1") if site.base in {"swapaxes"} else ("dim0", "dim1")
    i, j = (site.dimension(site.integer(n), len(axes)) for n in names)
    axes[i], axes[j] = axes[j], axes[i]
    return tuple(axes)


def reverse_dims(site: Site) -> Value:
    """t, numpy_T: all dimensions in reverse."""
    return tuple(reversed(site.dims("self")))


def matrix_transpose(site: Site) -> Value:
    axes = site.dims("self")
    return (*axes[:-2], axes[-1], axes[-2])


def movedim(site: Site) -> Value:
    axes = site.dims("self")
    rank = len(axes)
    source = [site.dimension(d, rank) for d in site.integers("source")]
    target = [site.dimension(d, rank) for d in site.integers("destination")]
    order = dict(zip(target, source, strict=True))
    rest = iter([d for d in range(rank) if d not in source])
    return tuple(axes[order[d] if d in order else next(rest)] for d in range(rank))


def expand(site: Site) -> Value:
    """An axis of size one repeated: a new axis, which is free."""
    result = _broadcast_to(site, site.dims("self"))
    count_sizes(site, "size", result)
    return result


def expand_as(site: Site) -> Value:
    """An axis of size one takes the other tensor's axis."""
    axes, others = site.dims("self"), site.dims("other")
    return tuple(broadcast(site, [axes, others]))


def _broadcast_to(site: Site, axes: Dims) -> Dims:
    kind = site.node.type
    if not isinstance(kind, TensorType):
        raise Unsupported("the result is not one tensor")
    padded = (*(ONE for _ in range(kind.rank - len(axes))), *axes)
    return tuple(
        axis
        if size(axis) == n
        else site.solver.fresh(n, site.why("its size is dynamic") if symbol else None)
        for axis, n, symbol in zip(padded, kind.shape, kind.symbols, strict=True)
    )


def broadcast(site: Site, operands: Sequence[Dims]) -> list[Axis]:
    """Unify tensors as element-wise operators broadcast them, aligned on the right."""
    rank = max(map(len, operands), default=0)
    result: list[Axis] = []
    for position in range(rank):
        column = [d[position - rank + len(d)] for d in operands if position - rank + len(d) >= 0]
        wide = [axis for axis in column if size(axis) != 1]
        for axis in wide[1:]:
            if size(axis) != size(wide[0]):
                raise Unsupported("the sizes do not broadcast")
            site.unify(wide[0], axis)
        result.append(wide[0] if wide else ONE)
    return result


def repeat(site: Site) -> Value:
    """repeat, tile: the repetition is the outer factor of each axis."""
    name = "repeats" if site.base == "repeat" else "dims"
    given = site.arg(name)
    if not isinstance(given, tuple):
        raise Unsupported("the repetitions are not a list")
    axes, shape = site.dims("self"), site.shape()
    padded = (*(ONE for _ in range(len(shape) - len(axes))), *axes)
    given = (*(1 for _ in range(len(shape) - len(given))), *given)
    result = []
    for position, (axis, n) in enumerate(zip(padded, shape, strict=True)):
        dynamic = not isinstance(given[position], int)
        times = site.solver.fresh(
            n // size(axis), site.why("its size is dynamic") if dynamic else None
        )
        if not dynamic and site.base == "repeat":
            site.counts(site.path(name, position), times)
        elif not dynamic:
            site.freeze(times, "tile counts it")
        result.append(product([times, axis]))
    return tuple(result)


def repeat_interleave(site: Site) -> Value:
    """Each index repeated in place: the repetition is the inner factor."""
    if not site.is_tensor("self"):
        raise Unsupported("its values are positions")
    axes = list(site.dims("self"))
    if site.arg("dim") is None:
        axes = [product(axes)]
    dim = site.dimension(site.integer("dim"), len(axes)) if site.arg("dim") is not None else 0
    if site.is_tensor("repeats"):
        return _repeated_by_tensor(site, axes, dim)
    times = site.solver.fresh(site.integer("repeats"))
    site.counts(site.path("repeats"), times)
    axes[dim] = product([axes[dim], times])
    if isinstance(site.arg("output_size"), int):
        site.counts(site.path("output_size"), axes[dim])
    elif site.arg("output_size") is not None:
        site.freeze(axes[dim], "its repeated size is computed at run time")
    return tuple(axes)


def _repeated_by_tensor(site: Site, axes: list[Axis], dim: int) -> Value:
    for axis in (axes[dim], *site.dims("repeats")):
        site.freeze(axis, "each index has a number of repetitions of its own")
    axes[dim] = site.fixed(site.shape()[dim], "its length depends on values")
    return tuple(axes)


def stack(site: Site) -> Value:
    """A new axis with one index a tensor."""
    operands = listed(site, "tensors")
    rank = len(operands[0])
    axes = broadcast(site, operands)
    dim = site.integer("dim")
    axes.insert(
        dim if dim >= 0 else dim + rank + 1, site.fixed(len(operands), "one index a stacked tensor")
    )
    return tuple(axes)


def cat(site: Site) -> Value:
    """Segments, in order; the other axes are the same in every tensor."""
    return cat_along(site, listed(site, "tensors"), site.integer("dim"))


def cat_along(site: Site, operands: Sequence[Dims], dim: int) -> Dims:
    rank = len(operands[0])
    if any(len(o) != rank for o in operands):
        raise Unsupported("the tensors differ in rank")
    dim = site.dimension(dim, rank)
    for other in operands[1:]:
        for position in range(rank):
            if position != dim:
                site.unify(operands[0][position], other[position])
    joined = concat([o[dim] for o in operands if size(o[dim])])
    return tuple(joined if position == dim else operands[0][position] for position in range(rank))


def listed(site: Site, name: str) -> list[Dims]:
    items: Argument = site.arg(name)
    found = [site.dims_of(item) for item in items] if isinstance(items, tuple) else []
    if not found or None in found:
        raise Unsupported("an item is no tensor")
    return [d for d in found if d is not None]


_RESHAPES = frozenset({"aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"})

SHAPES: dict[str, Callable[[Site], Value]] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "unflatten", "ravel"), reshape),
    **dict.fromkeys(("reshape_as", "view_as"), reshape_as),
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "swapdims": transpose,
    **dict.fromkeys(("t", "numpy_T", "matrix_H"), reverse_dims),
    **dict.fromkeys(("mT", "mH", "adjoint"), matrix_transpose),
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    "expand": expand,
    "broadcast_to": expand,
    "expand_as": expand_as,
    "repeat": repeat,
    "tile": repeat,
    "repeat_interleave": repeat_interleave,
    "stack": stack,
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
}
