"""Independence: an operator without a rule is evaluated at full size if what is removed does not
matter to what stays.

The removed slices of its arguments are replaced by other values. Where every kept element of every
result is the same bit by bit, the operator reads no removed index when it computes a kept one, and
its plain value is right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunec.check.removed import Keep, loses
from prunec.check.site import Refused, Site

SCALES = (1.0, 1e3)


def run(site: Site) -> Any:
    """The plain value of the operator.

    Raises:
        Refused: a kept index of a result depends on a removed one of an argument, or the operator
            is random, or refuses other values.
    """
    plain = site.call()
    generator = torch.Generator().manual_seed(0)
    for scale in SCALES:
        changed = {
            name: _replaced(value, site.keep.get(name), scale, generator)
            for name, value in site.args.items()
        }
        try:
            other = site.call(**changed)
        except Exception as error:  # an operator may refuse some values
            raise Refused(f"it has no masked form, and raises: {error}") from None
        if not _same(plain, other, site.result):
            raise Refused("what is removed changes what stays")
    return plain


def _replaced(value: Any, keep: Any, scale: float, generator: torch.Generator) -> Any:
    """An argument with other values wherever it is removed."""
    if isinstance(value, list):
        kept = keep if keep is not None else [None] * len(value)
        return [_replaced(v, k, scale, generator) for v, k in zip(value, kept, strict=True)]
    if not isinstance(value, Tensor) or not loses(keep):
        return value
    stays = _stays(value, keep)
    return torch.where(stays, value, _others(value, stays, scale, generator))


def _stays(value: Tensor, keep: Any) -> Tensor:
    """One where an element is kept along all dimensions."""
    result = torch.ones(value.shape, dtype=torch.bool)
    for dim, kept in enumerate(keep):
        if kept is not None:
            result &= kept.view([-1 if d == dim else 1 for d in range(value.dim())])
    return result


def _others(value: Tensor, stays: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Noise for numbers; for flags their opposites, for integers others that occur."""
    if value.dtype == torch.bool:
        return ~value
    if value.is_complex() or value.is_floating_point():
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        return value + scale * noise
    pool = value[stays] if bool(stays.any()) else value.flatten()
    drawn = torch.randint(0, len(pool), (value.numel(),), generator=generator)
    return pool[drawn].view(value.shape)


def _same(plain: Any, other: Any, keep: Keep) -> bool:
    """Whether two results agree at every kept index."""
    if isinstance(plain, tuple | list):
        kept = keep or (None,) * len(plain)
        return all(_same(p, o, k) for p, o, k in zip(plain, other, kept, strict=True))  # type: ignore[arg-type]
    if not isinstance(plain, Tensor):
        return bool(plain == other)
    if plain.shape != other.shape:
        return False
    for dim, mask in enumerate(keep or ()):
        if isinstance(mask, Tensor):
            index = mask.nonzero().flatten()
            plain, other = plain.index_select(dim, index), other.index_select(dim, index)
    neither = torch.isnan(plain) & torch.isnan(other)
    return bool(((plain == other) | neither).all())
