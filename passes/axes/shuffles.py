"""Equations of the operators that exchange channels with space, or with each other."""

from __future__ import annotations

from collections.abc import Callable

from prunec.ir.axis import size
from prunec.passes.axes.site import Site, Unsupported, Value
from prunec.passes.axes.solver import product


def pixel_shuffle(site: Site) -> Value:
    """[n, c*r*s, h, w] -> [n, c, h*r, w*s] (torch.nn.PixelShuffle)."""
    factor = site.integer("upscale_factor")
    *batch, channels, height, width = site.dims("self")
    parted = site.solver.split(channels, factor * factor)
    inner = site.solver.split(parted[1], factor) if parted else None
    if parted is None or inner is None:
        raise Unsupported("the channels do not split by the factor")
    for axis in inner:
        site.freeze(axis, "it becomes space")
    return (*batch, parted[0], product([height, inner[0]]), product([width, inner[1]]))


def pixel_unshuffle(site: Site) -> Value:
    """[n, c, h*r, w*s] -> [n, c*r*s, h, w] (torch.nn.PixelUnshuffle)."""
    factor = site.integer("downscale_factor")
    *batch, channels, height, width = site.dims("self")
    tall, wide = site.solver.split(height, factor), site.solver.split(width, factor)
    if tall is None or wide is None:
        raise Unsupported("the space does not split by the factor")
    for axis in (*tall, *wide):
        site.freeze(axis, "it was space")
    return (*batch, product([channels, tall[1], wide[1]]), tall[0], wide[0])


def channel_shuffle(site: Site) -> Value:
    """[n, g*c, ...] -> [n, c*g, ...]."""
    batch, channels, *space = site.dims("self")
    groups = site.integer("groups")
    parted = site.solver.split(channels, size(channels) // groups)
    if parted is None:
        raise Unsupported("the channels do not split into the groups")
    site.counts(site.path("groups"), parted[0])
    return (batch, product([parted[1], parted[0]]), *space)


SHUFFLES: dict[str, Callable[[Site], Value]] = {
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), channel_shuffle),
}
