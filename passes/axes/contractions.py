"""Equations of products of tensors whose form depends on arguments: matmul, einsum, attention."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

from prunec.ir.axis import ONE, Axis, size
from prunec.ir.graph import Argument, Ref
from prunec.ir.group import Role
from prunec.passes.axes import signature
from prunec.passes.axes.shapes import broadcast, listed
from prunec.passes.axes.site import Dims, Site, Unsupported, Value
from prunec.passes.axes.solver import product
from prunec.passes.axes.table import signatures


def matmul(site: Site) -> Value:
    """[..., m, k] x [..., k, n] -> [..., m, n]; a vector lacks m or n (torch.matmul)."""
    left, right = ("self", "mat2") if site.base in {"mm", "bmm"} else ("self", "other")
    return _matmul(site, left, right)


def _matmul(site: Site, left: str, right: str) -> Dims:
    a, b = site.dims(left), site.dims(right)
    site.unify(a[-1], b[-2] if len(b) > 1 else b[0])
    site.role(site.arg(left), len(a) - 1, "consume")
    site.role(site.arg(right), max(len(b) - 2, 0), "consume")
    rows = a[-2:-1] if len(a) > 1 else ()
    columns = b[-1:] if len(b) > 1 else ()
    if rows:
        site.role(site.arg(left), len(a) - 2, "produce")
    if columns:
        site.role(site.arg(right), len(b) - 1, "produce")
    batch = broadcast(site, [a[:-2], b[:-2]])
    if batch and _varies(site, left) and _varies(site, right):
        _note_heads(site, batch, a[-1], b[-1])
    return (*batch, *rows, *columns)


def _varies(site: Site, name: str) -> bool:
    """Whether an operand is computed from the model's inputs."""
    return _is_varying(site, site.arg(name))


def _is_varying(site: Site, operand: Argument) -> bool:
    return isinstance(operand, Ref) and operand.name in site.facts.graph.varying


def _note_heads(site: Site, batch: list[Axis], *inner: Axis) -> None:
    """A product of two activations, batch by batch, is attention written out.

    With samples alone as its batch there are no heads; samples and heads may be one axis.
    """
    if len(batch) == 1 and len(site.solver.factors(batch[0])) < 2:
        return
    site.kind(batch[-1], "heads")
    for axis in inner:
        site.kind(axis, "head_dim")


def addmm(site: Site) -> Value:
    """addmm, baddbmm: a bias plus a product."""
    names = ("mat1", "mat2") if site.base == "addmm" else ("batch1", "batch2")
    result = _matmul(site, *names)
    bias = site.dims("self")
    for position, axis in enumerate(bias, start=len(result) - len(bias)):
        if size(axis) > 1:
            site.unify(axis, result[position])
    site.role(site.arg("self"), len(bias) - 1, "produce")
    return result


def einsum(site: Site) -> Value:
    """A letter is an axis; a letter that is not in the result is summed over.

    An ellipsis stands for axes that are called ``...1``, ``...2`` from the right.
    """
    equation, tensors = site.arg("equation"), site.arg("tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple):
        raise Unsupported("the equation is not fixed")
    terms, arrow, given = equation.replace(" ", "").partition("->")
    operands = [
        _labels(term, site.dims_of(tensor))
        for term, tensor in zip(terms.split(","), tensors, strict=True)
    ]
    axes: dict[str, Axis] = {}
    for labels, tensor in zip(operands, tensors, strict=True):
        _einsum_operand(site, labels, site.dims_of(tensor) or (), axes)
    result = _einsum_result(operands, axes, given if arrow else None)
    for number, (labels, tensor) in enumerate(zip(operands, tensors, strict=True)):
        others = {x for k, o in enumerate(operands) if k != number for x in o}
        for position, label in enumerate(labels):
            role: Role = (
                "consume" if label not in result else "scale" if label in others else "produce"
            )
            site.role(tensor, position, role)
    if len(operands) == 2 and all(_is_varying(site, t) for t in tensors):
        _note_einsum(site, operands, result, axes)
    return tuple(axes[label] for label in result)


def _note_einsum(
    site: Site, terms: list[list[str]], result: list[str], axes: dict[str, Axis]
) -> None:
    """The last letter of both operands and the result is heads; what is summed over, and the last
    letter of the second operand, lie inside a head.
    """
    batch = [c for c in result if all(c in term for term in terms)]
    if batch:
        inner = [c for c in axes if c not in result or c == terms[1][-1]]
        _note_heads(site, [axes[c] for c in batch], *(axes[c] for c in inner))


def _labels(term: str, dims: Dims | None) -> list[str]:
    """One label per dimension of an operand."""
    before, dots, after = term.partition("...")
    rest = len(dims or ()) - len(before) - len(after)
    if dims is None or rest < 0 or (rest and not dots):
        raise Unsupported("an operand does not fit the equation")
    return [*before, *(f"...{i}" for i in range(rest, 0, -1)), *after]


def _einsum_result(
    operands: list[list[str]], axes: dict[str, Axis], given: str | None
) -> list[str]:
    """The labels of the result: as given, or those that occur once, in alphabetical order."""
    dots = sorted((x for x in axes if len(x) > 1), key=lambda x: -int(x[3:]))
    if given is None:
        every = [x for labels in operands for x in labels]
        return [*dots, *sorted(x for x in {*every} if len(x) == 1 and every.count(x) == 1)]
    before, found, after = given.partition("...")
    return [*before, *(dots if found else ()), *after]


def _einsum_operand(site: Site, labels: list[str], dims: Dims, axes: dict[str, Axis]) -> None:
    """A label that stands twice in one operand is its diagonal: the two axes are one."""
    for label, axis in zip(labels, dims, strict=True):
        known = axes.setdefault(label, axis)
        if size(known) == size(axis):
            site.unify(known, axis)
        elif size(known) == 1:
            axes[label] = axis
        elif size(axis) != 1:
            raise Unsupported("the sizes do not broadcast")


def attention(site: Site) -> Value:
    """q[..., h*r, l, d] k[..., h, s, d] v[..., h, s, e] -> [..., h*r, l, e], softmax over s.

    With grouped queries (``enable_gqa``) r query heads share one head of keys and values. The
    default scale is that of the dense head size: a slim call passes it.
    """
    query, key, value = (site.dims(n) for n in ("query", "key", "value"))
    site.unify(query[-1], key[-1])
    site.unify(key[-2], value[-2])
    batch = _grouped_heads(site, query, key, value) if site.arg("enable_gqa") else None
    if batch is None:
        batch = broadcast(site, [query[:-2], key[:-2], value[:-2]])
    site.mixes(key[-2])
    if batch:
        site.kind(batch[-1], "heads")
    site.kind(query[-1], "head_dim")
    site.kind(value[-1], "head_dim")
    if site.arg("scale") is None:
        site.pin("scale", 1 / sqrt(size(query[-1])), query[-1])
    if site.is_tensor("attn_mask"):
        broadcast(site, [site.dims("attn_mask"), (*batch, query[-2], key[-2])])
    return (*batch, query[-2], value[-1])


def _grouped_heads(site: Site, query: Dims, key: Dims, value: Dims) -> list[Axis]:
    heads, shared = query[-3], key[-3]
    site.unify(shared, value[-3])
    repeats = site.solver.fresh(size(heads) // size(shared))
    site.unify(heads, product([shared, repeats]))
    return [*broadcast(site, [query[:-3], key[:-3], value[:-3]]), heads]


def dot(site: Site) -> Value:
    """dot, vdot: the sum of products of two vectors."""
    site.unify(site.dims("self")[0], site.dims("other" if site.base == "vdot" else "tensor")[0])
    return ()


def inner(site: Site) -> Value:
    """[..., k] x [..., k]: summed over the last dimension of both."""
    left, right = site.dims("self"), site.dims("other")
    if not left or not right:
        return tuple(broadcast(site, [left, right]))
    return _summed(site, (left, right), ((len(left) - 1,), (len(right) - 1,)))


def tensordot(site: Site) -> Value:
    """Summed over the dimensions listed, pair by pair; the others follow one another."""
    left, right = site.dims("self"), site.dims("other")
    pairs = (
        tuple(site.dimension(d, len(left)) for d in site.integers("dims_self")),
        tuple(site.dimension(d, len(right)) for d in site.integers("dims_other")),
    )
    return _summed(site, (left, right), pairs)


def _summed(
    site: Site, operands: tuple[Dims, Dims], dims: tuple[tuple[int, ...], tuple[int, ...]]
) -> Dims:
    (left, right), (over_left, over_right) = operands, dims
    for i, j in zip(over_left, over_right, strict=True):
        if size(left[i]) != size(right[j]):
            raise Unsupported("a side of size one is broadcast in a sum")
        site.unify(left[i], right[j])
    for name, axes, over in (("self", left, over_left), ("other", right, over_right)):
        for d in range(len(axes)):
            site.role(site.arg(name), d, "consume" if d in over else "produce")
    return (
        *(a for d, a in enumerate(left) if d not in over_left),
        *(a for d, a in enumerate(right) if d not in over_right),
    )


def vecdot(site: Site) -> Value:
    """The sum of products over one dimension, with broadcasting."""
    axes = broadcast(site, [site.dims("x"), site.dims("y")])
    dim = site.dimension(site.integer("dim"), len(axes))
    if any(len(site.dims(n)) != len(axes) or site.dims(n)[dim] == ONE for n in ("x", "y")):
        raise Unsupported("an operand is broadcast along the dimension")
    return (*axes[:dim], *axes[dim + 1 :])


def chain(site: Site) -> Value:
    """linalg_multi_dot, chain_matmul: a product of matrices, the first and last may be vectors."""
    name = "tensors" if site.base == "linalg_multi_dot" else "matrices"
    operands = listed(site, name)
    for left, right in pairwise(operands):
        site.unify(left[-1], right[0])
    return (*operands[0][:-1], *operands[-1][1:])


def convolution(site: Site) -> Value:
    """The operator behind every convolution: its arguments say which one it is."""
    spatial = len(site.dims("weight")) - 2
    name = f"conv{'_transpose' if site.arg('transposed') else ''}{spatial}d"
    if name not in signatures():
        raise Unsupported("it has no or too many dimensions of space")
    return signature.apply(site, signatures()[name])


CONTRACTIONS: dict[str, Callable[[Site], Value]] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "linalg_matmul"), matmul),
    **dict.fromkeys(("addmm", "baddbmm"), addmm),
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
    **dict.fromkeys(("dot", "vdot"), dot),
    "inner": inner,
    "tensordot": tensordot,
    "linalg_vecdot": vecdot,
    **dict.fromkeys(("linalg_multi_dot", "chain_matmul"), chain),
    **dict.fromkeys(("convolution", "_convolution"), convolution),
}
