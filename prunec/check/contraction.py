"""Contraction: operators that sum products over an axis see a removed channel as zero.

Only what is summed over is masked. Everywhere else a removed channel keeps what the original
computes for it, so that a claim that puts it in the wrong place shows in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import torch
from torch import Tensor

from prunec.check.site import Refused, Rule, Site


def last(*names: str) -> Rule:
    """Summed over the last dimension of each of these arguments."""

    def rule(site: Site) -> Any:
        return site.call(**{name: site.filled(name, (-1,)) for name in names})

    return rule


def conv(spatial: int) -> Rule:
    """Convolutions: summed over the input's channels, a window sliding over the last dimensions."""

    def rule(site: Site) -> Any:
        site.intact("input", range(-spatial, 0))
        site.intact("weight", range(-spatial, 0))
        return site.call(input=site.filled("input", (-spatial - 1,)))

    return rule


def matmul(left: str, right: str) -> Rule:
    """[..., m, k] x [..., k, n]: summed over k; a vector is all k."""

    def rule(site: Site) -> Any:
        inner = -2 if site.rank(right) > 1 else -1
        return site.call(
            **{left: site.filled(left, (-1,)), right: site.filled(right, (inner,))},
        )

    return rule


def einsum(site: Site) -> Any:
    """Summed over every letter that the result lacks."""
    terms, arrow, result = site.args["equation"].replace(" ", "").partition("->")
    if not arrow:
        result = "".join(c for c in terms if c.isalpha() and terms.count(c) == 1)
    tensors = []
    for term, tensor, keep in zip(
        terms.split(","), site.args["tensors"], site.keep["tensors"], strict=True
    ):
        for position, letter in enumerate(_letters(term, tensor.dim())):
            kept = keep[position] if keep else None
            if kept is not None and letter not in result:
                shape = [1] * tensor.dim()
                shape[position] = -1
                tensor = torch.where(kept.view(shape), tensor, 0.0)  # noqa: PLW2901
        tensors.append(tensor)
    return site.call(tensors=tensors)


def attention(site: Site) -> Any:
    """Summed over the head size of queries and keys, and, weighted by a softmax, over the positions
    of keys.

    The default scale is that of the original's head size.
    """
    query, key, value = (site.tensor(name) for name in ("query", "key", "value"))
    scale = site.args.get("scale")
    found = {
        "query": site.filled("query", (-1,)),
        "key": site.filled("key", (-1,)),
        "scale": query.shape[-1] ** -0.5 if scale is None else scale,
        "dropout_p": 0.0,
    }
    kept = site.mask("key", -2)
    if kept is None:
        site.intact("value", (-2,))
        return site.call(**found)
    if site.args.get("is_causal"):
        raise Refused("key positions are pruned under a causal mask")
    return site.call(**found, value=value, attn_mask=_hide(site.args.get("attn_mask"), kept, key))


def _hide(mask: Tensor | None, kept: Tensor, like: Tensor) -> Tensor:
    """An additive attention mask that hides removed key positions, [..., 1 or queries, keys]."""
    hidden = torch.where(kept, 0.0, -inf).to(like.dtype)[None, :]
    if mask is None:
        return hidden
    return hidden.masked_fill(~mask, -inf) if mask.dtype == torch.bool else mask + hidden


def _letters(term: str, rank: int) -> list[str]:
    """One letter per dimension; an ellipsis stands for dimensions that are never summed over."""
    before, dots, after = term.partition("...")
    if not dots:
        return list(term)
    return [*before, *(["."] * (rank - len(before) - len(after))), *after]


def _kept_ellipsis(rule: Rule) -> Rule:
    """Refuse a pruned ellipsis that the result lacks: it would be summed over."""

    def checked(site: Site) -> Any:
        equation = site.args["equation"]
        _, arrow, result = equation.partition("->")
        if "..." in equation and arrow and "..." not in result and site.touched:
            raise Refused("the equation sums over an ellipsis")
        return rule(site)

    return checked


CONTRACTIONS: Mapping[str, Rule] = {
    "linear": last("input"),
    "bilinear": last("input1", "input2"),
    **{f"conv{n}d": conv(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": conv(n) for n in (1, 2, 3)},
    "matmul": matmul("self", "other"),
    **dict.fromkeys(("mm", "bmm"), matmul("self", "mat2")),
    "mv": matmul("self", "vec"),
    "dot": last("self", "tensor"),
    "addmm": matmul("mat1", "mat2"),
    "baddbmm": matmul("batch1", "batch2"),
    "addmv": matmul("mat", "vec"),
    "einsum": _kept_ellipsis(einsum),
    "scaled_dot_product_attention": attention,
}
"""Operator (without namespace and overload) -> its value with channels removed."""
