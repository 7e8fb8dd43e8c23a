"""Equations of products of tensors whose form depends on arguments: matmul, einsum, attention."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from prunec.ir.axis import Axis, size
from prunec.ir.graph import Argument, Ref
from prunec.ir.group import Role
from prunec.passes.axes.shapes import broadcast
from prunec.passes.axes.site import Dims, Site, Unsupported, Value
from prunec.passes.axes.solver import product


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
    """A letter is an axis; a letter that is not in the result is summed over."""
    equation, tensors = site.arg("equation"), site.arg("tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple) or "." in equation:
        raise Unsupported("the equation has an ellipsis")
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    if not arrow:
        letters = sorted({c for c in terms if c.isalpha()})
        result = "".join(c for c in letters if terms.count(c) == 1)
    axes: dict[str, Axis] = {}
    for letters_of, tensor in zip(operands, tensors, strict=True):
        _einsum_operand(site, letters_of, tensor, axes)
    for term, tensor in zip(operands, tensors, strict=True):
        others = "".join(o for o in operands if o is not term)
        for position, letter in enumerate(term):
            role: Role = (
                "consume" if letter not in result else "scale" if letter in others else "produce"
            )
            site.role(tensor, position, role)
    if len(operands) == 2 and all(_is_varying(site, t) for t in tensors):
        _note_einsum(site, operands, result, axes)
    return tuple(axes[letter] for letter in result)


def _note_einsum(site: Site, terms: list[str], result: str, axes: dict[str, Axis]) -> None:
    """The last letter of both operands and the result is heads; what is summed over, and the last
    letter of the second operand, lie inside a head.
    """
    batch = [c for c in result if all(c in term for term in terms)]
    if batch:
        inner = [c for c in axes if c not in result or c == terms[1][-1]]
        _note_heads(site, [axes[c] for c in batch], *(axes[c] for c in inner))


def _einsum_operand(site: Site, letters: str, tensor: Argument, axes: dict[str, Axis]) -> None:
    dims = site.dims_of(tensor)
    if dims is None or len(dims) != len(letters) or len(set(letters)) != len(letters):
        raise Unsupported("an operand does not fit the equation")
    for letter, axis in zip(letters, dims, strict=True):
        known = axes.setdefault(letter, axis)
        if size(known) == size(axis):
            site.unify(known, axis)
        elif size(known) == 1:
            axes[letter] = axis
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
    site.unify(site.dims("self")[0], site.dims("tensor")[0])
    return ()


CONTRACTIONS: dict[str, Callable[[Site], Value]] = {
    **dict.fromkeys(("matmul", "mm", "bmm"), matmul),
    **dict.fromkeys(("addmm", "baddbmm"), addmm),
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
    "dot": dot,
}
