"""What users yield, in every form, and every way to get it wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from prunec.diagnostics import PruneError
from prunec.ir.graph import Graph, Input, Parameter, Ref, TensorType
from prunec.passes.batches import collate

IMAGE = TensorType((3, 4, 4), "float32", ("N", None, None))
TOKENS = TensorType((3, 5), "int64", ("N", "T"))


def graph_of(**inputs: TensorType) -> Graph:
    return Graph(
        name="m",
        parameters=tuple(Parameter(n, Ref(n)) for n in inputs),
        inputs=tuple(Input(n, t) for n, t in inputs.items()),
        weights=(),
        nodes=(),
        output=Ref(next(iter(inputs))),
    )


ONE = graph_of(x=IMAGE)
TWO = graph_of(tokens=TOKENS, mask=TOKENS)
X, T, Y = torch.randn(2, 4, 4), torch.ones(2, 7, dtype=torch.int64), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("graph", "item", "count", "labelled"),
    [
        (ONE, X, 1, False),
        (ONE, (X,), 1, False),
        (ONE, [X, Y], 1, True),
        (ONE, ((X,), Y), 1, True),
        (ONE, {"x": X}, 1, False),
        (ONE, {"x": X, "labels": Y}, 1, True),
        (ONE, ({"x": X}, Y), 1, True),
        (ONE, X.double(), 1, False),
        (TWO, (T, T), 2, False),
        (TWO, (T, T, Y), 2, True),
        (TWO, ((T, T), Y), 2, True),
        (TWO, {"mask": T, "tokens": T.int()}, 2, False),
    ],
)
def test_forms(graph: Graph, item: Any, count: int, labelled: bool) -> None:
    (batch,) = collate([item], graph)
    assert len(batch.inputs) == count
    assert (batch.labels is not None) == labelled
    assert batch.size == 2
    for x, given in zip(batch.inputs, graph.inputs, strict=True):
        assert str(x.dtype) == f"torch.{given.type.dtype}"


def test_a_tensor_is_one_batch_and_the_limit_stops_an_endless_stream() -> None:
    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield X

    assert len(collate(X, ONE)) == 1
    assert len(collate(endless(), ONE, limit=3)) == 3


def test_a_dict_of_nested_parameters() -> None:
    from dataclasses import replace

    from prunec.ir.graph import Sequence_

    pair = Sequence_("tuple", (Ref("tokens"), Ref("mask")))
    graph = replace(TWO, parameters=(Parameter("pair", pair),))
    (batch,) = collate([{"pair": (T, 2 * T)}], graph)
    assert batch.inputs[1][0, 0] == 2


def raising() -> Iterator[torch.Tensor]:
    yield X
    raise OSError("disk full")


@pytest.mark.parametrize(
    ("graph", "data", "code", "words"),
    [
        (ONE, [], "P0401", "nothing"),
        (ONE, [X * float("nan")], "P0402", "input `x`"),
        (ONE, [X / 0], "P0402", "Inf"),
        (ONE, [(X, torch.tensor([float("inf"), 0]))], "P0402", "labels"),
        (ONE, [torch.randn(2, 4, 5)], "P0403", "float32[2, 4, 5]"),
        (ONE, [torch.randn(4, 4)], "P0403", "[N, 4, 4]"),
        (ONE, [X[:0]], "P0403", "[0, 4, 4]"),
        (TWO, [(T, T[:, :3])], "P0403", "T is 7 and 3"),
        (ONE, [X.long()], "P0404", "int64"),
        (TWO, [(T, T.float())], "P0404", "`mask`"),
        (ONE, [np.zeros((2, 4, 4))], "P0405", "`ndarray`"),
        (ONE, ["x"], "P0405", "`str`"),
        (ONE, [None], "P0405", "None"),
        (TWO, [T], "P0405", "1 inputs"),
        (TWO, [{"tokens": T}], "P0405", "`mask`"),
        (ONE, [{"x": X, "lables": Y}], "P0405", "`lables`"),
        (ONE, [(X, "label")], "P0405", "labels"),
        (ONE, 3, "P0409", "TypeError"),
        (ONE, raising(), "P0409", "disk full"),
    ],
)
def test_faults(graph: Graph, data: Any, code: str, words: str) -> None:
    with pytest.raises(PruneError) as caught:
        collate(data, graph)
    (found,) = {d.code for d in caught.value.diagnostics}
    assert found == code
    assert words in str(caught.value)


def test_all_faults_of_a_batch_are_told_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        collate([(T.float(), T[:0])], TWO)
    assert [d.code for d in caught.value.diagnostics] == ["P0404", "P0403"]
