"""Routing: operators that choose indices of an axis, or that obey such a choice.

A removed index is never chosen: the choice is made among the kept, and given in the original's
numbering, in which the rest of the original is evaluated. Where the slim module numbers the kept
anew, whatever else is done with the numbers shows in the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from prunec.check.site import Refused, Rule, Site


def topk(site: Site) -> Any:
    """The k best of the kept."""
    dim = site.args["dim"] % site.rank("self")
    return _among(site, dim, site.args["k"])


def best(site: Site) -> Any:
    """argmax, argmin, max, min: the best of the kept and where it is; of all elements only where
    nothing is removed.
    """
    if site.args.get("dim") is None:
        site.intact("self", range(site.rank("self")))
        return site.call()
    return _among(site, site.args["dim"] % site.rank("self"), 1)


def grouped_mm(site: Site) -> Tensor:
    """Rows up to ``offs[e]`` times matrix e; no row may belong to one that is removed."""
    x, weight = ("input", "weight") if "weight" in site.args else ("self", "mat2")
    if site.rank(x) != 2 or site.rank(weight) != 3 or site.args.get("bias") is not None:
        raise Refused("it is no product of rows with one of several matrices")
    site.intact(x, (0,))
    rows, matrices = site.filled(x, (1,)), site.tensor(weight)
    kept = site.mask(weight, 0)
    result = rows.new_zeros(rows.shape[0], matrices.shape[2])
    start = 0
    for number, end in enumerate(site.tensor("offs").tolist()):
        if end > start and kept is not None and not kept[number]:
            raise Refused(f"rows go to matrix {number}, which is removed")
        result[start:end] = rows[start:end] @ matrices[number]
        start = end
    return result


def scatter_add(site: Site) -> Any:
    """Sums at the places that are indexed: each of its own, of all that goes there."""
    dim = site.args["dim"] % site.rank("self")
    site.intact("src", (dim,))
    site.intact("index", (dim,))
    return site.call()


def _among(site: Site, dim: int, count: int) -> Any:
    """The operator among the kept along a dimension, its indices as the original numbers them."""
    kept = site.mask("self", dim)
    if kept is None:
        return site.call()
    places = kept.nonzero().squeeze(1)
    if count > len(places):
        raise Refused(f"{count} are taken where {len(places)} are left")
    found = site.call(self=site.tensor("self").index_select(dim, places))
    return places[found] if isinstance(found, Tensor) else (found[0], places[found[1]])


def plain(site: Site) -> Any:
    """One-hot, histogram: an index that is never chosen has no one and counts zero."""
    return site.call()


ROUTING: Mapping[str, Rule] = {
    "topk": topk,
    **dict.fromkeys(("argmax", "argmin"), best),
    "scatter_add": scatter_add,
    **dict.fromkeys(("one_hot", "histc"), plain),
    **dict.fromkeys(("_grouped_mm", "transformers.grouped_mm_fallback"), grouped_mm),
}
"""Operator (without namespace and overload) -> its value with channels removed."""
