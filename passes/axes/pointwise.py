"""Equations of operators that work index by index, and of tensors made from sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from prunec.ir.axis import Axis, size
from prunec.ir.graph import TensorType
from prunec.passes.axes.shapes import broadcast, count_sizes
from prunec.passes.axes.site import Items, Site, Unsupported, Value, overload


def is_pointwise(site: Site) -> bool:
    """Whether torch itself says that the operator is element-wise, or it is known to be."""
    found = overload(site.node.op)
    return site.base in _POINTWISE or (found is not None and torch.Tag.pointwise in found.tags)


def pointwise(site: Site) -> Value:
    """Element by element, with broadcasting; of several results each."""
    axes = tuple(broadcast(site, [site.dims(n) for n in site.tensors()]))
    kinds = site.node.type
    several = kinds if isinstance(kinds, tuple) else (kinds,)
    shape = tuple(map(size, axes))
    if any(not isinstance(k, TensorType) or k.shape != shape for k in several):
        raise Unsupported("the result has another shape")
    return Items(axes for _ in several) if isinstance(kinds, tuple) else axes


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


def view_as_complex(site: Site) -> Value:
    """[..., 2] -> [...]: real and imaginary parts."""
    *axes, parts = site.dims("self")
    site.freeze(parts, "its two indices are a real and an imaginary part")
    return tuple(axes)


def view_as_real(site: Site) -> Value:
    return (*site.dims("self"), site.fixed(2, "a real and an imaginary part"))


def triangle(site: Site) -> Value:
    """triu, tril: the last two axes are compared by position."""
    axes = site.dims("self")
    for axis in axes[-2:]:
        site.freeze(axis, "its position matters")
    return axes


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


# Element by element, although torch does not tag them so (aliases, mostly).
_POINTWISE = frozenset(
    """hardswish hardsigmoid log_sigmoid softsign where copy rrelu mish silu logit masked_fill clip
    absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh fix negative subtract multiply
    divide greater greater_equal less less_equal not_equal true_divide floor_divide isclose isreal
    complex polar real imag conj _conj _conj_physical conj_physical resolve_conj resolve_neg
    _neg_view _prelu_kernel special_digamma special_erf special_erfc special_erfinv special_exp2
    special_expit special_expm1 special_gammainc special_gammaincc special_gammaln special_i0
    special_log1p special_logit special_ndtr special_polygamma special_psi special_round
    special_sinc special_xlogy __and__ __or__ __xor__ __lshift__ __rshift__ nan_to_num
    zero""".split()
)

# Every equation, and the operators that it covers.
_TABLE: tuple[tuple[Callable[[Site], Value], str], ...] = (
    (
        same,
        """dropout alpha_dropout feature_dropout feature_alpha_dropout contiguous clone to _to_copy
        type_as detach alias lift_fresh_copy zeros_like ones_like full_like empty_like rand_like
        randn_like randint_like fill bernoulli exponential uniform normal_functional cauchy
        log_normal geometric random""",
    ),
    (filled, "zeros ones full empty new_zeros new_ones new_full new_empty rand randn"),
    (
        computed,
        """arange linspace logspace eye scalar_tensor tensor tril_indices triu_indices randint
        randperm hann_window hamming_window blackman_window bartlett_window kaiser_window
        fft_fftfreq fft_rfftfreq""",
    ),
    (triangle, "triu tril"),
    (glu, "glu"),
    (view_as_complex, "view_as_complex"),
    (view_as_real, "view_as_real"),
)
POINTWISE: dict[str, Callable[[Site], Value]] = {
    name: equations for equations, names in _TABLE for name in names.split()
}
