"""Equations of fused operators with several results, and of those of which every axis must stay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prunec.grammar.axes import Signature, parse_signatures
from prunec.ir.graph import TensorType
from prunec.passes.axes import signature
from prunec.passes.axes.site import Items, Site, Unsupported, Value
from prunec.passes.axes.table import signatures

_GROUP_NORM = """
native_group_norm
    input[n, g*c, ...] weight[g*c] bias[g*c] group=g -> [n, g*c, ...]  mixes c  mixes ...
"""


@cache
def _group_norm() -> Signature:
    return parse_signatures(_GROUP_NORM)["native_group_norm"]


def with_statistics(name: str) -> Callable[[Site], Value]:
    """A norm that returns its statistics too, which nothing may read."""

    def equations(site: Site) -> Value:
        _first_only(site)
        said = signatures()[name] if name in signatures() else _group_norm()
        result = signature.apply(site, said)
        if name == "native_group_norm":
            _count_sizes(site)
        return _first(site, result)

    return equations


def _count_sizes(site: Site) -> None:
    """N, C and HxW are arguments too."""
    batch, channels, *space = site.dims("input")
    for axis in space:
        site.freeze(axis, "its size is an argument")
    site.counts(site.path("C"), channels)
    if isinstance(site.arg("N"), int):
        site.counts(site.path("N"), batch)


def _first_only(site: Site) -> None:
    readers = site.facts.graph.users[site.node.name]
    if any(n.op != "getitem" or n.args[1] != 0 for n in readers):
        raise Unsupported("its statistics are read")


def _first(site: Site, result: Value) -> Value:
    kinds = site.node.type
    if not isinstance(kinds, tuple):
        raise Unsupported("the result is not a tuple")
    rest = Items(site.opaque("nothing reads it"))  # type: ignore[arg-type]
    return Items((result, *rest[1:]))


def embedding_bag(site: Site) -> Value:
    """weight[v, c] indices -> [bags, c]: rows are looked up and reduced, bag by bag."""
    _first_only(site)
    rows, channels = site.dims("weight")
    site.freeze(rows, "it is looked up by index")
    for name in ("indices", "offsets", "per_sample_weights"):
        for axis in site.dims(name) if site.is_tensor(name) else ():
            site.freeze(axis, "it says what a bag holds")
    kinds = site.node.type
    first = kinds[0] if isinstance(kinds, tuple) else None
    if not isinstance(first, TensorType):
        raise Unsupported("the result is not a tuple")
    site.role(site.arg("weight"), 1, "produce")
    return _first(site, (site.fixed(first.shape[0], "one index a bag"), channels))


def whole(reason: str) -> Callable[[Site], Value]:
    """Every axis stays, for this reason."""

    def equations(site: Site) -> Value:
        raise Unsupported(reason)

    return equations


_VALUES = "the shape of its result depends on values"
_FUSED = "a fused kernel with all sizes built in: call `nn.Module`s that it stands for"
WHOLE: tuple[tuple[str, str], ...] = (
    (_VALUES, "nonzero nonzero_numpy argwhere masked_select unique_consecutive _unique _unique2"),
    (_VALUES, "unique_dim unique_dim_consecutive bincount nonzero_static"),
    ("it counts values over the whole tensor", "histc histogram histogramdd"),
    ("it reads memory, not axes", "as_strided as_strided_scatter"),
    ("it consumes a tensor element by element, in order", "masked_scatter put"),
    (_FUSED, "_native_multi_head_attention _transformer_encoder_layer_fwd"),
    (_FUSED, "_transform_bias_rescale_qkv"),
    ("it relates all rows to all others", "cov corrcoef pdist combinations"),
    ("it slides over time", "stft istft"),
    ("it compares whole tensors", "allclose equal dist"),
)
NATIVE: dict[str, Callable[[Site], Value]] = {
    "native_layer_norm": with_statistics("layer_norm"),
    "_fused_rms_norm": with_statistics("rms_norm"),
    "native_group_norm": with_statistics("native_group_norm"),
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit_no_training",
            "_native_batch_norm_legit",
        ),
        with_statistics("batch_norm"),
    ),
    **dict.fromkeys(("embedding_bag", "_embedding_bag"), embedding_bag),
    **{name: whole(reason) for reason, names in WHOLE for name in names.split()},
}
