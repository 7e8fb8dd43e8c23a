"""Equations of the operators that combine all indices of an axis into a few numbers."""

from __future__ import annotations

from collections.abc import Callable

from prunec.ir.axis import ONE, size
from prunec.ir.graph import TensorType
from prunec.passes.axes.shapes import broadcast
from prunec.passes.axes.site import Dims, Items, Site, Unsupported, Value


def reduction(site: Site) -> Value:
    """Reduce over dimensions; all but a sum make the channels depend on their number."""
    if site.is_tensor("other"):  # the larger of two tensors
        return tuple(broadcast(site, [site.dims("self"), site.dims("other")]))
    axes = site.dims("self")
    dims = _reduced(site, len(axes))
    several = isinstance(site.node.type, tuple)
    for d in dims:
        if site.base in _POSITIONAL or (several and site.base not in _TWO_VALUES):
            site.freeze(axes[d], "its result is a position")
        elif site.base != "sum":
            site.mixes(axes[d])
    result = _without(axes, dims, bool(site.arg("keepdim")))
    return Items(result for _ in site.node.type) if several else result  # type: ignore[union-attr]


def _reduced(site: Site, rank: int) -> set[int]:
    dims = site.arg("dim")
    if dims is None or dims == () or rank == 0:
        return set(range(rank))
    return {site.dimension(d, rank) for d in site.integers("dim")}


def _without(axes: Dims, dims: set[int], keep: bool) -> Dims:
    return tuple(ONE if d in dims else a for d, a in enumerate(axes) if keep or d not in dims)


def norm_of_dims(site: Site) -> Value:
    """linalg_norm and kin: a matrix norm is of two dimensions as a whole."""
    axes = site.dims("self")
    dims = _reduced(site, len(axes))
    for d in dims:
        site.freeze(axes[d], "its norm is that of a matrix")
    return _without(axes, dims, bool(site.arg("keepdim")))


def softmax(site: Site) -> Value:
    axes = site.dims("self")
    if axes:
        site.mixes(axes[site.dimension(site.integer("dim"), len(axes))])
    return axes


def cosine_similarity(site: Site) -> Value:
    """A product over one dimension, divided by both norms."""
    axes = broadcast(site, [site.dims("x1"), site.dims("x2")])
    dim = site.dimension(site.integer("dim"), len(axes))
    if any(len(site.dims(n)) != len(axes) or site.dims(n)[dim] == ONE for n in ("x1", "x2")):
        raise Unsupported("an operand is broadcast along the dimension")
    site.mixes(axes[dim])
    return (*axes[:dim], *axes[dim + 1 :])


def pairwise_distance(site: Site) -> Value:
    """A norm over the last dimension, to whose every element epsilon is added."""
    axes = broadcast(site, [site.dims("x1"), site.dims("x2")])
    site.freeze(axes[-1], "epsilon is added to each of its indices")
    return (*axes[:-1], ONE) if site.arg("keepdim") else tuple(axes[:-1])


def weight_norm(site: Site) -> Value:
    """v[o, ...] g[o, 1, 1] -> [o, ...]: each index of one dimension is scaled by the norm of the
    rest.
    """
    v, g = site.dims("v"), site.dims("g")
    dim = site.integer("dim")
    kept = None if dim == -1 else site.dimension(dim, len(v))
    for d, axis in enumerate(v):
        if d == kept:
            if len(g) == len(v) and size(g[d]) == size(axis):
                site.unify(axis, g[d])
            else:
                raise Unsupported("the lengths do not fit the directions")
            site.role(site.arg("g"), d, "scale")
        else:
            site.mixes(axis)
    site.stands_for(site.arg("v"))
    return v


def norm_except_dim(site: Site) -> Value:
    """[o, ...] -> [o, 1, ...]: the norm over all other dimensions."""
    v, dim = site.dims("v"), site.integer("dim")
    kept = None if dim == -1 else site.dimension(dim, len(v))
    for d, axis in enumerate(v):
        if d != kept:
            site.mixes(axis)
    return () if kept is None else tuple(a if d == kept else ONE for d, a in enumerate(v))


def cdist(site: Site) -> Value:
    """x1[..., p, c] x2[..., r, c] -> [..., p, r], distances over c."""
    (*left, rows, inner), (*right, columns, other) = site.dims("x1"), site.dims("x2")
    site.unify(inner, other)
    site.mixes(inner)
    return (*broadcast(site, [tuple(left), tuple(right)]), rows, columns)


def matrix(site: Site) -> Value:
    """Inverses, determinants, factorisations: the last two axes are one matrix, the others pass."""
    operands = [site.dims(name) for name in site.tensors()]
    if any(len(o) < 2 for o in operands) or len(set(map(len, operands))) != 1:
        raise Unsupported("an operand is no matrix, or they differ in rank")
    for dims in operands:
        for axis in dims[-2:]:
            site.freeze(axis, "it is a side of a matrix")
    batch = broadcast(site, [o[:-2] for o in operands])

    def result(kind: object) -> Value:
        if not isinstance(kind, TensorType):
            return None
        if kind.rank < len(batch) or kind.shape[: len(batch)] != tuple(map(size, batch)):
            raise Unsupported("a result lacks the batch")
        rest = kind.shape[len(batch) :]
        return (*batch, *(site.fixed(n, "it is a side of a matrix") for n in rest))

    kinds = site.node.type
    return Items(map(result, kinds)) if isinstance(kinds, tuple) else result(kinds)


_POSITIONAL = frozenset({"argmax", "argmin"})
_TWO_VALUES = frozenset({"var_mean", "std_mean", "aminmax"})
_TABLE: tuple[tuple[Callable[[Site], Value], str], ...] = (
    (
        reduction,
        """sum mean amax amin var std prod logsumexp linalg_vector_norm norm any all max min argmax
        argmin var_mean std_mean aminmax count_nonzero nansum nanmean special_logsumexp
        frobenius_norm""",
    ),
    (norm_of_dims, "linalg_norm linalg_matrix_norm nuclear_norm"),
    (softmax, "softmax log_softmax _softmax _log_softmax _safe_softmax"),
    (softmax, "special_softmax special_log_softmax"),
    (cosine_similarity, "cosine_similarity"),
    (pairwise_distance, "pairwise_distance"),
    (weight_norm, "_weight_norm"),
    (norm_except_dim, "norm_except_dim"),
    (cdist, "cdist"),
    (
        matrix,
        """inverse linalg_inv linalg_inv_ex linalg_det linalg_slogdet det logdet slogdet
        linalg_cholesky linalg_cholesky_ex cholesky linalg_eigh linalg_eigvalsh linalg_eig
        linalg_eigvals linalg_qr linalg_svd svd linalg_svdvals linalg_solve linalg_solve_triangular
        linalg_lu linalg_lu_factor linalg_pinv pinverse linalg_matrix_exp matrix_exp
        linalg_matrix_power matrix_power linalg_matrix_rank linalg_cond
        cholesky_inverse cholesky_solve triangular_solve""",
    ),
)
REDUCTIONS: dict[str, Callable[[Site], Value]] = {
    name: equations for equations, names in _TABLE for name in names.split()
}
