"""Routing in the proof: a choice is made among the kept, in the original's numbering."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prunec.check import Removed, interpreter
from prunec.diagnostics import PruneError
from prunec.ir.graph import Graph, Input, Node, Ref, TensorType

KEPT = np.array([True, False, True, True, False, True])
PLACES = torch.from_numpy(np.flatnonzero(KEPT))
SCORES = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def interpret(op: str, given: dict[str, tuple[Tensor, Any]], *rest: Any) -> Any:
    """One node on inputs, of each of which something is removed."""
    inputs = tuple(
        Input(name, TensorType(tuple(t.shape), str(t.dtype).removeprefix("torch.")))
        for name, (t, _) in given.items()
    )
    node = Node("y", op, (*(Ref(i.name) for i in inputs), *rest), (), inputs[0].type)
    graph = Graph("g", (), inputs, (), (node,), Ref("y"))
    removed = Removed({name: mask for name, (_, mask) in given.items()}, {})
    return interpreter.run(graph, {}, removed, [t for t, _ in given.values()])["y"]


@pytest.mark.parametrize("largest", [True, False])
def test_topk_among_the_kept(largest: bool) -> None:
    values, found = interpret("aten.topk.default", {"x": (SCORES, (None, KEPT))}, 2, 1, largest)
    want, where = SCORES[:, PLACES].topk(2, 1, largest)
    assert torch.equal(values, want)
    assert torch.equal(found, PLACES[where])


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("keepdim", [True, False])
def test_the_best_of_the_kept(name: str, keepdim: bool) -> None:
    found = interpret(f"aten.{name}.default", {"x": (SCORES, (None, KEPT))}, 1, keepdim)
    assert torch.equal(found, PLACES[getattr(SCORES[:, PLACES], name)(1, keepdim)])


@pytest.mark.parametrize("name", ["max", "min"])
def test_the_extreme_of_the_kept_and_its_place(name: str) -> None:
    values, found = interpret(f"aten.{name}.dim", {"x": (SCORES, (None, KEPT))}, 1)
    want, where = getattr(SCORES[:, PLACES], name)(1)
    assert torch.equal(values, want)
    assert torch.equal(found, PLACES[where])


def test_more_than_is_left_cannot_be_taken() -> None:
    with pytest.raises(PruneError, match="P0803"):
        interpret("aten.topk.default", {"x": (SCORES, (None, KEPT))}, 5)
    with pytest.raises(PruneError, match="P0803"):
        interpret("aten.argmax.default", {"x": (SCORES, (None, KEPT))})


def grouped(ends: list[int]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(6, 5, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    inner = np.array([True, True, False, True, True])
    given = {
        "x": (x, (None, inner)),
        "w": (weight, (KEPT, inner, None)),
        "offs": (torch.tensor(ends, dtype=torch.int32), (KEPT,)),
    }
    found: Tensor = interpret("aten._grouped_mm.default", given)
    rows, start = [], 0
    for number, end in enumerate(ends):
        rows.append(x[start:end][:, inner] @ weight[number][inner])
        start = end
    torch.testing.assert_close(found, torch.cat(rows))
    return found


def test_grouped_products_sum_over_what_is_kept() -> None:
    assert grouped([2, 2, 3, 3, 3, 7]).shape == (7, 4)


def test_no_row_goes_to_a_matrix_that_is_removed() -> None:
    with pytest.raises(PruneError, match="matrix 1, which is removed"):
        grouped([2, 3, 3, 3, 3, 7])
