"""Equations of the operators that work through a window or a grid: space freezes, channels pass."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from prunec.ir.graph import TensorType
from prunec.passes.axes.site import Items, Site, Unsupported, Value
from prunec.passes.axes.solver import product

_SLIDES = "a window slides over it"


def window(spatial: int) -> Callable[[Site], Value]:
    """Pooling, resizing: the last axes are space, which is frozen before and after."""

    def equations(site: Site) -> Value:
        axes = site.dims(site.tensors()[0])
        for axis in axes[-spatial:]:
            site.freeze(axis, _SLIDES)
        kinds = site.node.type if isinstance(site.node.type, tuple) else (site.node.type,)
        results = []
        for kind in kinds:
            if not isinstance(kind, TensorType) or kind.rank != len(axes):
                raise Unsupported("the result has another rank")
            space = (site.fixed(n, _SLIDES) for n in kind.shape[-spatial:])
            results.append((*axes[:-spatial], *space))
        return Items(results) if isinstance(site.node.type, tuple) else results[0]

    return equations


def unpool(spatial: int) -> Callable[[Site], Value]:
    """The values and their positions within the space of one channel."""

    def equations(site: Site) -> Value:
        axes, others = site.dims("self"), site.dims("indices")
        for axis, other in zip(axes, others, strict=True):
            site.unify(axis, other)
        return window(spatial)(site)

    return equations


def fractional_pool(spatial: int) -> Callable[[Site], Value]:
    """Regions are drawn for every channel: samples[n, c, .]."""

    def equations(site: Site) -> Value:
        axes, samples = site.dims("self")[:-spatial], site.dims("random_samples")
        if len(axes) != 2:
            raise Unsupported("it has no batch")
        for axis, other in zip(axes, samples[:2], strict=True):
            site.unify(axis, other)
        site.freeze(samples[2], "its indices are coordinates")
        return window(spatial)(site)

    return equations


def im2col(site: Site) -> Value:
    """[..., c, h, w] -> [..., c*k, l]: the k positions in a kernel lie inside of each channel."""
    *batch, channels, height, width = site.dims("self")
    for axis in (height, width):
        site.freeze(axis, _SLIDES)
    kernel = site.fixed(prod(site.integers("kernel_size")), "the kernel's extent")
    return (*batch, product([channels, kernel]), site.fixed(site.shape()[-1], _SLIDES))


def col2im(site: Site) -> Value:
    """[..., c*k, l] -> [..., c, h, w]: each channel is the sum of its own windows."""
    *batch, columns, places = site.dims("self")
    parted = site.solver.split(columns, prod(site.integers("kernel_size")))
    if parted is None:
        raise Unsupported("the columns do not split by the kernel")
    site.freeze(parted[1], "the kernel's extent")
    site.freeze(places, _SLIDES)
    return (*batch, parted[0], *(site.fixed(n, _SLIDES) for n in site.shape()[-2:]))


def grid_sampler(site: Site) -> Value:
    """input[n, c, h, w] grid[n, a, b, 2] -> [n, c, a, b]; with three dimensions of space alike."""
    batch, channels, *space = site.dims("input")
    other, *places, coordinates = site.dims("grid")
    site.unify(batch, other)
    for axis in (*space, coordinates):
        site.freeze(axis, "it is looked up by coordinates")
    return (batch, channels, *places)


def affine_grid(site: Site) -> Value:
    """theta[n, 2, 3] -> [n, h, w, 2], positions that are computed from sizes."""
    for axis in site.dims("theta"):
        site.freeze(axis, "it makes coordinates")
    return site.opaque("its values are computed from positions")


_TABLE: tuple[tuple[Callable[[Site], Value], str], ...] = (
    (
        window(1),
        """max_pool1d avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d upsample_linear1d
        upsample_nearest1d _upsample_nearest_exact1d max_pool1d_with_indices
        reflection_pad1d replication_pad1d""",
    ),
    (
        window(2),
        """max_pool2d avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d
        max_pool2d_with_indices upsample_bilinear2d upsample_nearest2d upsample_bicubic2d
        _upsample_nearest_exact2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
        reflection_pad2d replication_pad2d""",
    ),
    (
        window(3),
        """max_pool3d avg_pool3d adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d
        max_pool3d_with_indices upsample_trilinear3d upsample_nearest3d
        _upsample_nearest_exact3d reflection_pad3d replication_pad3d""",
    ),
    (unpool(2), "max_unpool2d"),
    (unpool(3), "max_unpool3d"),
    (fractional_pool(2), "fractional_max_pool2d"),
    (fractional_pool(3), "fractional_max_pool3d"),
    (im2col, "im2col"),
    (col2im, "col2im"),
    (grid_sampler, "grid_sampler grid_sampler_2d grid_sampler_3d"),
    (affine_grid, "affine_grid_generator"),
)
WINDOWS: dict[str, Callable[[Site], Value]] = {
    name: equations for equations, names in _TABLE for name in names.split()
}
