"""Norms on the kept slice: mean and variance of what is kept, in explicit masked arithmetic at full
size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from prunec.check.site import Rule, Site


def layer_norm(site: Site) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last dimensions."""
    dims = _last(site)
    x, keep = site.tensor("input"), site.weight("input", dims)
    return _affine(site, _normalised(x, keep, dims, site.args["eps"]))


def rms_norm(site: Site) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimensions."""
    dims = _last(site)
    x, eps = site.tensor("input"), site.args["eps"]
    power = _mean(x**2, site.weight("input", dims), dims)
    return _affine(site, x / torch.sqrt(power + (torch.finfo(x.dtype).eps if eps is None else eps)))


def group_norm(site: Site) -> Tensor:
    """Each sample's channels in the original's groups, and all that follows the channels.

    A group that is removed whole has no mean: its channels are removed too, and hold anything.
    """
    x = site.tensor("input")
    groups = site.args["num_groups" if "num_groups" in site.args else "group"]
    keep = _parted(site.weight("input", range(1, x.dim())).expand(1, *x.shape[1:]), groups)
    dims = range(2, x.dim() + 1)
    result = _normalised(_parted(x, groups), keep, dims, site.args["eps"])
    return _channelwise(site, result.flatten(1, 2))


def _parted(value: Tensor, groups: int) -> Tensor:
    return value.reshape(value.shape[0], groups, -1, *value.shape[2:])


def batch_norm(site: Site) -> Any:
    """Each channel over all that is no channel; in eval mode with the running statistics.

    In train mode the statistics are those of the batch, and the running ones stay as they are.
    """
    of_batch = site.train or site.args["training"] or site.args["running_mean"] is None
    return _by_channel(site, [d for d in range(site.rank("input")) if d != 1], bool(of_batch))


def instance_norm(site: Site) -> Any:
    """Each channel of each sample over all that follows it; else as `batch_norm`."""
    return _by_channel(
        site, range(2, site.rank("input")), site.train or bool(site.args["use_input_stats"])
    )


def _by_channel(site: Site, dims: Iterable[int], of_batch: bool) -> Any:
    if not of_batch:
        return site.call()
    x, over = site.tensor("input"), tuple(dims)
    return _channelwise(site, _normalised(x, site.weight("input", over), over, site.args["eps"]))


def _normalised(value: Tensor, keep: Tensor, dims: Iterable[int], eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps), the moments taken over the kept along ``dims``."""
    over = tuple(dims)
    centre = _mean(value, keep, over)
    return (value - centre) / torch.sqrt(_mean((value - centre) ** 2, keep, over) + eps)


def _mean(value: Tensor, keep: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The mean of the kept along ``dims``, which stay as size one; zero where none is kept."""
    count = keep.expand_as(value).sum(dims, True)
    return torch.where(keep, value, 0.0).sum(dims, True) / count.clamp(min=1)


def _last(site: Site) -> tuple[int, ...]:
    rank = site.rank("input")
    return tuple(range(rank - len(site.args["normalized_shape"]), rank))


def _channelwise(site: Site, value: Tensor) -> Tensor:
    """Weight and bias along dimension 1."""
    shape = (-1,) + (1,) * (value.dim() - 2)
    weight, bias = site.args["weight"], site.args["bias"]
    value = value if weight is None else value * weight.view(shape)
    return value if bias is None else value + bias.view(shape)


def _affine(site: Site, value: Tensor) -> Tensor:
    """Weight and bias along the last dimensions; an RMS norm has no bias."""
    weight, bias = site.args["weight"], site.args.get("bias")
    value = value if weight is None else value * weight
    return value if bias is None else value + bias


def with_statistics(rule: Rule) -> Rule:
    """The fused kernels return statistics too, which nothing reads that has to do with a pruned
    axis.
    """

    def fused(site: Site) -> Any:
        whole = site.call()
        return (rule(site), *whole[1:]) if site.touched else whole

    return fused


NORMS: Mapping[str, Rule] = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "native_layer_norm": with_statistics(layer_norm),
    "native_group_norm": with_statistics(group_norm),
    "_fused_rms_norm": with_statistics(rms_norm),
}
"""Operator (without namespace and overload) -> its value with channels removed."""
