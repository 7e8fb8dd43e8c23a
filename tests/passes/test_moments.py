"""Unfolding and moments against torch's own convolution and against plain sums."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prunec.ir.graph import Graph, Input, Node, Ref, TensorType, Weight, WeightRef
from prunec.passes import moments
from prunec.passes.moments import accumulate, damp, linear

CONVOLUTIONS = [
    # input, weight, stride, padding, dilation, groups
    ((2, 4, 9), (6, 4, 3), 2, 1, 1, 1),
    ((2, 4, 7, 8), (6, 2, 3, 3), (1, 2), (1, 0), (2, 1), 2),
    ((3, 4, 6, 6), (4, 1, 3, 3), 1, "same", 1, 4),
    ((2, 3, 6, 6), (5, 3, 2, 4), 1, "same", 1, 1),
    ((2, 3, 6, 6), (5, 3, 2, 2), 1, "valid", 2, 1),
    ((1, 4, 5, 5, 5), (2, 2, 3, 1, 2), 1, (1, 0, 1), 1, 2),
]


def graph_of(op: str, x: Tensor, weight: Tensor, *rest: object) -> Graph:
    """One node ``y = op(x, weight, *rest)``."""
    kind = TensorType(tuple(x.shape), "float64")
    return Graph(
        name="one",
        parameters=(),
        inputs=(Input("x", kind),),
        weights=(Weight("w", TensorType(tuple(weight.shape), "float64"), "parameter"),),
        nodes=(Node("y", op, (Ref("x"), WeightRef("w"), *rest), type=kind),),  # type: ignore[arg-type]
        output=Ref("y"),
    )


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation", "groups"), CONVOLUTIONS
)
@pytest.mark.parametrize("chunk", [1, 1 << 24])
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_columns_times_matrix_is_the_convolution(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: str | int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    groups: int,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moments, "CHUNK", chunk)
    x, weight = random(*shape), random(*kernel, seed=1)
    rank = len(shape) - 2
    op = f"aten.conv{rank}d.{'padding' if isinstance(padding, str) else 'default'}"
    graph = graph_of(op, x, weight, None, stride, padding, dilation, groups)
    map = linear(graph, graph.nodes[0])
    assert map is not None
    convolution = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    y = convolution(x, weight, None, stride, padding, dilation, groups)  # type: ignore[operator]
    rows = torch.cat([part for _, part in map.columns(x)], dim=1)
    torch.testing.assert_close(rows @ map.matrix(weight).mT, map.outputs(y))
    torch.testing.assert_close(map.weight_like(map.matrix(weight), weight), weight)


@pytest.mark.parametrize("op", ["aten.linear.default", "aten.matmul.default"])
def test_matrix_maps_take_any_leading_dimensions(op: str) -> None:
    x, weight = random(2, 3, 5), random(4, 5, seed=1)
    stored = weight if op == "aten.linear.default" else weight.T.contiguous()
    graph = graph_of(op, x, stored, *([None] if op == "aten.linear.default" else []))
    map = linear(graph, graph.nodes[0])
    assert map is not None
    rows = torch.cat([part for _, part in map.columns(x)], dim=1)
    torch.testing.assert_close(rows @ map.matrix(stored).mT, map.outputs(F.linear(x, weight)))
    torch.testing.assert_close(map.weight_like(map.matrix(stored), stored), stored)


def test_moments_are_sums_and_add_up() -> None:
    x, y, weight = random(6, 5), random(6, 4, seed=2), random(4, 5, seed=1)
    graph = graph_of("aten.linear.default", x, weight, None)
    map = linear(graph, graph.nodes[0])
    assert map is not None
    total = accumulate(map, x[:2], y[:2]) + accumulate(map, x[2:], y[2:])
    assert total.n == 6
    assert total.xy is not None
    torch.testing.assert_close(total.xx[0], x.T @ x)
    torch.testing.assert_close(total.xy[0], x.T @ y)
    centred = total.centred()
    assert centred.xy is not None
    assert centred.yy is not None
    a, b = x - x.mean(0), y - y.mean(0)
    torch.testing.assert_close(centred.xx[0], a.T @ a)
    torch.testing.assert_close(centred.xy[0], a.T @ b)
    torch.testing.assert_close(centred.yy[0], b.square().sum(0))


def test_damping_is_relative_and_dead_inputs_get_a_one() -> None:
    legal, factor = damp(torch.diag(torch.tensor([4.0, 0.0, 2.0]).double())[None], 0.1)
    torch.testing.assert_close(legal[0].diagonal(), torch.tensor([4.3, 1.3, 2.3]).double())
    torch.testing.assert_close(factor @ factor.mT, legal)
