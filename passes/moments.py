"""Second moments of what linear maps read: the one statistic behind structured OBS and least
squares.

A linear map (`Linear_`) is any operator that multiplies unfolded input by a plain weight: linear,
addmm, matmul and convolutions of one to three spatial dimensions. Its input unfolds to rows ``[G,
n, d]``: G groups of the convolution (1 otherwise), n positions of all samples, d = channels per
group times taps, channel-major.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunec.ir.graph import Argument, Graph, Node, Ref, WeightRef

CONVOLUTIONS = {
    f"aten.conv{rank}d.{overload}": rank
    for rank in (1, 2, 3)
    for overload in ("default", "padding")
}
CHUNK = 1 << 24
"""Elements of unfolded input held at a time (64 MiB in float32)."""


@dataclass(frozen=True, slots=True)
class Linear_:
    """One use of a weight as a linear map. ``flipped`` weights are stored ``[in, out]``."""

    node: str
    x: str
    weight: str
    bias: str | None
    flipped: bool = False
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | str = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as float64 ``[G, o, d]``, o = output channels per group."""
        rows = weight.T if self.flipped else weight
        return rows.double().reshape(self.groups, rows.shape[0] // self.groups, -1)

    def weight_like(self, matrix: Tensor, weight: Tensor) -> Tensor:
        """The inverse of `matrix`, in the shape and dtype of ``weight``."""
        rows = matrix.reshape(-1, prod(matrix.shape[2:]))
        stored = rows.T if self.flipped else rows
        return stored.reshape(weight.shape).to(weight.dtype).contiguous()

    def columns(self, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Rows of unfolded input ``[G, n, d]`` by slices of dimension 0 of ``x`` (of its rows, for
        a matrix map).
        """
        if not self.kernel:
            rows = x.reshape(-1, x.shape[-1])
            for part in _slices(rows.shape[0], rows.shape[1]):
                yield part, rows[part][None]
            return
        padded = F.pad(x, self._pads())
        count = padded.shape[1] * prod(self.kernel) * prod(padded.shape[2:])
        for part in _slices(x.shape[0], count):
            yield part, self._unfold(padded[part])

    def outputs(self, y: Tensor) -> Tensor:
        """The map's output as rows ``[G, n, o]``, in the order of `columns`."""
        if not self.kernel:
            return y.reshape(1, -1, y.shape[-1])
        grouped = y.reshape(y.shape[0], self.groups, -1, *y.shape[2:]).movedim(2, -1).movedim(0, 1)
        return grouped.reshape(self.groups, -1, grouped.shape[-1])

    def _unfold(self, x: Tensor) -> Tensor:
        for dim, (k, s, d) in enumerate(
            zip(self.kernel, self.stride, self.dilation, strict=True), start=2
        ):
            x = x.unfold(dim, d * (k - 1) + 1, s)[..., ::d]
        rank = len(self.kernel)
        x = x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])
        order = (1, 0, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
        x = x.permute(order)
        return x.reshape(self.groups, prod(x.shape[1 : 2 + rank]), -1)

    def _pads(self) -> tuple[int, ...]:
        """Padding as `F.pad` wants it: last dimension first, both sides."""
        pads: list[int] = []
        for k, (kernel, dilation) in enumerate(zip(self.kernel, self.dilation, strict=True)):
            total = dilation * (kernel - 1)
            match self.padding:
                case "same":
                    pads = [total // 2, total - total // 2, *pads]
                case tuple():
                    pads = [self.padding[k], self.padding[k], *pads]
                case _:
                    pads = [0, 0, *pads]
        return tuple(pads)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over n rows: ``xx`` [G, d, d], ``x`` [G, d]; with a target also ``xy`` [G, d, o], ``y``,
    ``yy`` [G, o]. Float64.
    """

    n: int
    xx: Tensor
    x: Tensor
    xy: Tensor | None = None
    y: Tensor | None = None
    yy: Tensor | None = None

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.n + other.n,
            self.xx + other.xx,
            self.x + other.x,
            _plus(self.xy, other.xy),
            _plus(self.y, other.y),
            _plus(self.yy, other.yy),
        )

    def centred(self) -> Moments:
        """Sums of products about the mean, as a map with an intercept sees them."""
        xx = self.xx - self.x[:, :, None] * self.x[:, None] / self.n
        if self.xy is None or self.y is None or self.yy is None:
            return replace(self, xx=xx)
        xy = self.xy - self.x[:, :, None] * self.y[:, None] / self.n
        return replace(self, xx=xx, xy=xy, yy=self.yy - self.y.square() / self.n)


def linear(graph: Graph, node: Node) -> Linear_ | None:
    """The node as a linear map with a weight of its own, or None when it is no such thing."""
    args: list[Any] = [*node.args, *(None,) * 7]
    named = dict(node.kwargs)
    if node.op in CONVOLUTIONS:
        x, weight, bias, stride, padding, dilation, groups = args[:7]
        rank = CONVOLUTIONS[node.op]
        if not isinstance(x, Ref) or not isinstance(weight, WeightRef) or not _plain(bias):
            return None
        return Linear_(
            node.name,
            x.name,
            weight.name,
            bias.name if isinstance(bias, WeightRef) else None,
            kernel=graph.weight[weight.name].type.shape[2:],
            stride=_tuple(named.get("stride", stride), rank, 1),
            padding=p
            if isinstance(p := named.get("padding", padding), str)
            else _tuple(p, rank, 0),
            dilation=_tuple(named.get("dilation", dilation), rank, 1),
            groups=named.get("groups", groups) or 1,  # type: ignore[arg-type]
        )
    return _matrix(graph, node, args)


def _matrix(graph: Graph, node: Node, args: list[Any]) -> Linear_ | None:
    """linear, matmul, mm or addmm by a weight matrix."""
    match node.op, args:
        case "aten.linear.default", [Ref(x), WeightRef(w), bias, *_] if _plain(bias):
            found = Linear_(node.name, x, w, bias.name if bias else None)
        case "aten.matmul.default" | "aten.mm.default", [Ref(x), WeightRef(w), *_]:
            found = Linear_(node.name, x, w, None, flipped=True)
        case "aten.addmm.default", [WeightRef(b), Ref(x), WeightRef(w), *_] if not node.kwargs:
            found = Linear_(node.name, x, w, b, flipped=True)
        case _:
            return None
    return found if graph.weight[found.weight].type.rank == 2 else None


def accumulate(map: Linear_, x: Tensor, y: Tensor | None = None) -> Moments:
    """The moments of one batch; ``y`` is a target of the shape of the map's output.

    Products are formed in the input's own precision, chunk by chunk, and summed in float64.
    """
    target = None if y is None else map.outputs(y)
    total: Moments | None = None
    start = 0
    for _, rows in map.columns(x):
        stop = start + rows.shape[1]
        part = _moments(rows, None if target is None else target[:, start:stop])
        total = part if total is None else total + part
        start = stop
    assert total is not None, "batches are never empty"
    return total


def damp(matrix: Tensor, damping: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Symmetric positive semi-definite ``[G, d, d]`` after relative damping, and its Cholesky
    factor.

    ``damping`` times the mean diagonal of live inputs is added to the diagonal; dead inputs
    (zero diagonal) get a one there. Where Cholesky still fails the damping grows tenfold until
    it does not.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    dead = diagonal <= 0
    mean = diagonal.clamp(min=0).sum(-1) / (~dead).sum(-1).clamp(min=1)
    fixed = matrix + torch.diag_embed(torch.where(dead, 1 - diagonal, 0))
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    while True:
        legal = fixed + damping * mean[:, None, None] * eye
        factor, info = torch.linalg.cholesky_ex(legal)
        if not bool(info.any()):
            return legal, factor
        damping = max(10 * damping, 1e-10)


def _moments(rows: Tensor, target: Tensor | None) -> Moments:
    turned = rows.transpose(-1, -2)
    xx, x = (turned @ rows).double(), rows.sum(1).double()
    if target is None:
        return Moments(rows.shape[1], xx, x)
    target = target.to(rows.dtype)
    return Moments(
        rows.shape[1],
        xx,
        x,
        (turned @ target).double(),
        target.sum(1).double(),
        target.square().sum(1).double(),
    )


def _slices(count: int, width: int) -> Sequence[slice]:
    step = max(1, CHUNK // max(1, width))
    return [slice(k, min(k + step, count)) for k in range(0, count, step)]


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None or a is None else a + b


def _plain(bias: Argument) -> bool:
    return bias is None or isinstance(bias, WeightRef)


def _tuple(value: Any, rank: int, default: int) -> tuple[int, ...]:
    if value is None:
        return (default,) * rank
    items = value if isinstance(value, tuple) else (value,)
    return tuple(items) * rank if len(items) == 1 else tuple(items)
