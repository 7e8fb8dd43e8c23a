"""Mixing: operators that combine the indices of an axis, on the kept slice, written at full size.

The reference semantics of a pruned axis is "the same operator on the kept slice". A sum forgets a
removed index if it is zero, a maximum if it is minus infinity; a mean divides by the number of
those kept; a norm does both. Each line below is that sentence for one operator, in explicit masked
arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan, prod
from typing import Any

import torch
from torch import Tensor

from prunec.check import routing
from prunec.check.site import Rule, Site


def neutral(fill: float, name: str = "self") -> Rule:
    """A reduction or a scan along ``dim`` whose neutral element is ``fill``."""

    def rule(site: Site) -> Any:
        return site.call(**{name: site.filled(name, reduced(site, name), fill)})

    return rule


def norm(site: Site) -> Any:
    """(sum |x|^p)^(1/p): a zero adds nothing, unless small elements count (p < 0)."""
    order = site.args.get("ord", site.args.get("p"))
    dims = reduced(site)
    if isinstance(order, int | float) and order < 0:
        site.intact("self", dims)
    return site.call(self=site.filled("self", dims))


def mean(site: Site) -> Tensor:
    """The sum over the kept, divided by their number."""
    dims = reduced(site)
    if not any(site.mask("self", d) is not None for d in dims):
        return site.call()  # type: ignore[no-any-return]
    keepdim = bool(site.args.get("keepdim"))
    total = torch.sum(site.filled("self", dims), dims, keepdim, dtype=site.args.get("dtype"))
    return total / _count(site, dims)


def variance(site: Site) -> Any:
    """var, std, var_mean, std_mean: squared distances from the mean of the kept, over their number
    less the correction.
    """
    dims = reduced(site)
    if not any(site.mask("self", d) is not None for d in dims):
        return site.call()
    keep = site.weight("self", dims)
    count = _count(site, dims)
    centre = torch.sum(site.filled("self", dims), dims, True) / count
    squares = torch.where(keep, (site.tensor("self") - centre) ** 2, 0.0)
    spread = torch.sum(squares, dims, True) / (count - _correction(site))
    if not site.args.get("keepdim"):
        spread, centre = spread.squeeze(dims), centre.squeeze(dims)
    result = spread.sqrt() if site.base.startswith("std") else spread
    return (result, centre) if site.base.endswith("mean") else result


def in_order(site: Site) -> Any:
    """What depends on positions (sort, median) has no meaning on a slice: refuse."""
    site.intact("self", reduced(site))
    return site.call()


def both_extremes(site: Site) -> Any:
    """aminmax: over one dimension, or all."""
    dims = reduced(site)
    keepdim = bool(site.args.get("keepdim"))
    low, high = site.filled("self", dims, inf), site.filled("self", dims, -inf)
    return torch.amin(low, dims, keepdim), torch.amax(high, dims, keepdim)


def nanmean(site: Site) -> Tensor:
    """A removed element is no number, and so is not counted."""
    return site.call(self=site.filled("self", reduced(site), nan))  # type: ignore[no-any-return]


def two_norms(site: Site) -> Any:
    """cosine_similarity: a zero adds nothing to the product or to either norm."""
    rank = max(site.rank("x1"), site.rank("x2"))
    dim = site.args["dim"] % rank
    return site.call(**{n: site.filled(n, (dim - rank + site.rank(n),)) for n in ("x1", "x2")})


def distance(site: Site) -> Any:
    """cdist: where both rows hold a zero there is no distance."""
    return site.call(x1=site.filled("x1", (-1,)), x2=site.filled("x2", (-1,)))


def directions(site: Site) -> Tensor:
    """_weight_norm: v / |v| * g, the norm over what is kept of all dimensions but one."""
    v, g = site.tensor("v"), site.tensor("g")
    scaled: Tensor = v * (g / _other_norm(site))
    return scaled


def lengths(site: Site) -> Tensor:
    """norm_except_dim: the norm over what is kept of all dimensions but one."""
    return _other_norm(site)


def _other_norm(site: Site) -> Tensor:
    rank, keep = site.rank("v"), site.args["dim"] != -1
    dims = [d for d in range(rank) if not keep or d != site.args["dim"] % rank]
    found: Tensor = torch.linalg.vector_norm(
        site.filled("v", dims), site.args.get("pow", 2), dims if keep else None, keep
    )
    return found


def extreme(fill: float) -> Rule:
    """max, min: of two tensors, of all elements, or along a dimension with the position of the
    winner.
    """

    def rule(site: Site) -> Any:
        if "other" in site.args:
            return site.call()
        if "dim" in site.args:
            return routing.best(site)
        return site.call(self=site.filled("self", reduced(site), fill))

    return rule


def window(spatial: int) -> Rule:
    """Pooling, resizing: a window slides over the last dimensions, which must be whole."""

    def rule(site: Site) -> Any:
        name = "self" if "self" in site.args else "input"
        site.intact(name, range(-spatial, 0))
        return site.call()

    return rule


def reduced(site: Site, name: str = "self") -> tuple[int, ...]:
    """The dimensions that ``dim`` names, counted from the front; all where it names none."""
    rank = site.rank(name)
    dim = site.args.get("dim")
    if isinstance(dim, int):
        return (dim % rank,) if rank else ()
    return tuple(d % rank for d in dim) if dim else tuple(range(rank))


def _count(site: Site, dims: tuple[int, ...]) -> int:
    masks = [(site.mask("self", d), site.tensor("self").shape[d]) for d in dims]
    return prod(size if kept is None else int(kept.sum()) for kept, size in masks)


def _correction(site: Site) -> float:
    """Bessel's correction: a number, or a flag in the older overloads; one by default."""
    if "unbiased" in site.args:
        return 1.0 if site.args["unbiased"] else 0.0
    correction = site.args.get("correction")
    return 1.0 if correction is None else float(correction)


MIXING: Mapping[str, Rule] = {
    **dict.fromkeys(("sum", "cumsum", "nansum"), neutral(0.0)),
    **dict.fromkeys(("prod", "cumprod"), neutral(1.0)),
    **dict.fromkeys(
        ("softmax", "_softmax", "_safe_softmax", "log_softmax", "_log_softmax"), neutral(-inf)
    ),
    **dict.fromkeys(("special_softmax", "special_log_softmax"), neutral(-inf)),
    **dict.fromkeys(("amax", "logsumexp", "special_logsumexp", "logcumsumexp"), neutral(-inf)),
    "amin": neutral(inf),
    "any": neutral(0.0),
    "all": neutral(1.0),
    **dict.fromkeys(("norm", "linalg_vector_norm"), norm),
    "count_nonzero": neutral(0.0),
    "nanmean": nanmean,
    "frobenius_norm": neutral(0.0),
    "aminmax": both_extremes,
    "cosine_similarity": two_norms,
    "cdist": distance,
    "_weight_norm": directions,
    "norm_except_dim": lengths,
    "mean": mean,
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), variance),
    "max": extreme(-inf),
    "min": extreme(inf),
    **dict.fromkeys(("median", "sort", "argsort"), in_order),
    **dict.fromkeys(("cummax", "cummin", "diff"), in_order),
    **{
        f"{name}{n}d": window(n)
        for n in (1, 2, 3)
        for name in (
            "max_pool avg_pool adaptive_avg_pool adaptive_max_pool _adaptive_avg_pool "
            "upsample_linear upsample_bilinear upsample_trilinear upsample_nearest "
            "upsample_bicubic _upsample_nearest_exact"
        ).split()
    },
    **{
        name: window(2)
        for name in (
            "max_pool2d_with_indices im2col _upsample_bilinear2d_aa _upsample_bicubic2d_aa"
        ).split()
    },
    "max_pool3d_with_indices": window(3),
}
"""Operator (without namespace and overload) -> its value with channels removed."""
