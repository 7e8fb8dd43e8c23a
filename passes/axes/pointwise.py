"""Equations of operators that work index by index, over a whole axis, or through a window."""

from __future__ import annotations

from collections.abc import Callable

import torch

from prunec.ir.axis import ONE, Axis, size
from prunec.ir.graph import TensorType
from prunec.passes.axes.shapes import broadcast, count_sizes
from prunec.passes.axes.site import Items, Site, Unsupported, Value, overload


def is_pointwise(site: Site) -> bool:
    """Whether torch itself says that the operator is element-wise, or it is known to be."""
    found = overload(site.node.op)
    return site.base in _POINTWISE or (found is not None and torch.Tag.pointwise in found.tags)


def pointwise(site: Site) -> Value:
    """Element by element, with broadcasting."""
    return tuple(broadcast(site, [site.dims(n) for n in site.tensors()]))


def same(site: Site) -> Value:
    """The axes of the first tensor: copies, casts, dropout, tensors made like another."""
    return site.dims(site.tensors()[0])


def glu(site: Site) -> Value:
    """The first half times the gate of the second half."""
    axes = list(site.dims("self"))
    dim = site.dimension(site.integer("dim"), len(axes))
    first, second = site.solver.cut(axes[dim], size(axes[dim]) // 2)
    site.unify(first, second)
    axes[dim] = first
    return tuple(axes)


def softmax(site: Site) -> Value:
    axes = site.dims("self")
    site.mixes(axes[site.integer("dim")])
    return axes


def scan(site: Site) -> Value:
    """cumsum, sort and their kin: along their dimension the order of indices matters."""
    axes = site.dims("self")
    dim = site.arg("dim")
    site.freeze(axes[dim if isinstance(dim, int) else -1], "the order of its indices matters")
    return Items((axes, axes)) if isinstance(site.node.type, tuple) else axes


def triangle(site: Site) -> Value:
    """triu, tril: the last two axes are compared by position."""
    axes = site.dims("self")
    for axis in axes[-2:]:
        site.freeze(axis, "its position matters")
    return axes


def reduction(site: Site) -> Value:
    """Reduce over dimensions; all but a sum make the channels depend on their number."""
    if site.is_tensor("other"):
        return pointwise(site)
    axes = site.dims("self")
    dims = _reduced(site, len(axes))
    for d in dims:
        if site.base in _POSITIONAL:
            site.freeze(axes[d], "its result is a position")
        elif site.base != "sum":
            site.mixes(axes[d])
    keep = bool(site.arg("keepdim"))
    result = tuple(ONE if d in dims else a for d, a in enumerate(axes) if keep or d not in dims)
    if isinstance(site.node.type, tuple):
        for d in dims:
            site.freeze(axes[d], "its result is a position")
        return Items(result for _ in site.node.type)
    return result


def _reduced(site: Site, rank: int) -> set[int]:
    dims = site.arg("dim")
    if dims is None or dims == ():
        return set(range(rank))
    return {site.dimension(d, rank) for d in site.integers("dim")}


def window(spatial: int) -> Callable[[Site], Value]:
    """Pooling, resizing: the last axes are space, which is frozen before and after."""

    def equations(site: Site) -> Value:
        axes = site.dims(site.tensors()[0])
        for axis in axes[-spatial:]:
            site.freeze(axis, "a window slides over it")
        kinds = site.node.type if isinstance(site.node.type, tuple) else (site.node.type,)
        results = []
        for kind in kinds:
            if not isinstance(kind, TensorType) or kind.rank != len(axes):
                raise Unsupported("the result has another rank")
            space = (site.fixed(n, "a window slides over it") for n in kind.shape[-spatial:])
            results.append((*axes[:-spatial], *space))
        return Items(results) if isinstance(site.node.type, tuple) else results[0]

    return equations


def filled(site: Site) -> Value:
    """zeros, ones, full and kin: all indices are alike, so every axis is free, and counted by the
    sizes.
    """
    kind = site.node.type
    if not isinstance(kind, TensorType):
        raise Unsupported("the result is not one tensor")
    result: tuple[Axis, ...] = tuple(
        site.solver.fresh(n, site.why("its size is dynamic") if symbol else None)
        for n, symbol in zip(kind.shape, kind.symbols, strict=True)
    )
    count_sizes(site, "size", result)
    return result


def computed(site: Site) -> Value:
    """arange, eye and kin: values depend on positions."""
    return site.opaque("its values are computed from positions")


def number(site: Site) -> Value:
    """Arithmetic on run-time numbers; a size that is read at run time keeps its axis."""
    if site.node.op == "size":
        source, dim = site.node.args
        dims = site.dims_of(source)
        if dims is not None and isinstance(dim, int):
            site.freeze(dims[dim], "its size is read at run time")
    return None


_POSITIONAL = frozenset({"argmax", "argmin"})
_POINTWISE = frozenset(
    "hardswish hardsigmoid log_sigmoid softsign where copy rrelu mish silu logit".split()
)

# Every equation, and the operators that it covers.
_TABLE: tuple[tuple[Callable[[Site], Value], str], ...] = (
    (
        same,
        """dropout alpha_dropout feature_dropout feature_alpha_dropout contiguous clone to _to_copy
        type_as detach alias lift_fresh_copy zeros_like ones_like full_like empty_like rand_like
        randn_like fill bernoulli""",
    ),
    (
        reduction,
        """sum mean amax amin var std prod logsumexp linalg_vector_norm norm any all max min argmax
        argmin var_mean std_mean median""",
    ),
    (scan, "cumsum cumprod logcumsumexp cummax cummin sort argsort diff"),
    (filled, "zeros ones full empty new_zeros new_ones new_full new_empty rand randn"),
    (
        computed,
        "arange linspace eye scalar_tensor tensor tril_indices triu_indices randint randperm",
    ),
    (softmax, "softmax log_softmax _softmax _log_softmax _safe_softmax"),
    (triangle, "triu tril"),
    (glu, "glu"),
    (
        window(1),
        """max_pool1d avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d upsample_linear1d
        upsample_nearest1d _upsample_nearest_exact1d""",
    ),
    (
        window(2),
        """max_pool2d avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d
        max_pool2d_with_indices upsample_bilinear2d upsample_nearest2d upsample_bicubic2d
        _upsample_nearest_exact2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa""",
    ),
    (
        window(3),
        """max_pool3d avg_pool3d adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d
        max_pool3d_with_indices upsample_trilinear3d upsample_nearest3d
        _upsample_nearest_exact3d""",
    ),
)
POINTWISE: dict[str, Callable[[Site], Value]] = {
    name: equations for equations, names in _TABLE for name in names.split()
}
