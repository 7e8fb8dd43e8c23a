"""The masked form of an operator at full size is the operator itself on the kept slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prunec.check import Removed, interpreter
from prunec.check.contraction import CONTRACTIONS
from prunec.check.mixing import MIXING
from prunec.check.norms import NORMS
from prunec.check.removed import Sizes, resize
from prunec.check.routing import ROUTING
from prunec.diagnostics import PruneError
from prunec.ir.graph import Graph, Input, Node, Ref, TensorType

SHAPE = (2, 8, 6)
ROWS = np.array([True, True, False, True, True, False, True, False])
PAIRS = np.array([True, False] * 4)
COLUMNS = np.array([True, False, True, True, False, True])


def _interpret(
    op: str,
    operands: list[Tensor],
    masks: list[Any],
    rest: tuple[Any, ...] = (),
    *,
    train: bool = False,
) -> Any:
    """One node: first inputs of which something is removed, then numbers."""
    inputs = tuple(Input(f"x{k}", _type(t)) for k, t in enumerate(operands))
    refs: tuple[Any, ...] = tuple(Ref(i.name) for i in inputs)
    node = Node("y", f"aten.{op}", (*refs, *rest), (), _type(operands[0]))
    graph = Graph("g", (), inputs, (), (node,), Ref("y"))
    removed = Removed({i.name: mask for i, mask in zip(inputs, masks, strict=True)}, {})
    return interpreter.run(graph, {}, removed, operands, train=train)["y"]


def _type(tensor: Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), "float64")


def _slice(tensor: Tensor, masks: Any) -> Tensor:
    for dim, mask in enumerate(masks):
        if mask is not None:
            tensor = tensor.index_select(dim, torch.from_numpy(np.flatnonzero(mask)))
    return tensor


def _random(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


REDUCTIONS = (
    *((f"{name}.default", ([1],)) for name in ("amax", "amin", "logsumexp")),
    ("sum.dim_IntList", ([1],)),
    ("mean.dim", ([1],)),
    ("mean.dim", ([1, 2], True)),
    ("mean.default", ()),
    ("sum.default", ()),
    ("max.default", ()),
    ("min.default", ()),
    ("prod.dim_int", (1,)),
    ("linalg_vector_norm.default", (2, [1])),
    ("linalg_vector_norm.default", (1, [1, 2], True)),
    ("norm.ScalarOpt_dim", (2, [1], True)),
    ("var.dim", ([1],)),
    ("var.correction", ([1, 2],)),
    ("std.dim", ([1], False, True)),
    ("std.default", ()),
    ("var_mean.dim", ([1], True, True)),
    ("std_mean.correction", ([1],)),
)
ALONG = (
    *((f"{name}.default", (1,)) for name in ("cumsum", "cumprod", "logcumsumexp")),
    *((f"{name}.int", (1,)) for name in ("softmax", "log_softmax")),
    ("_softmax.default", (1, False)),
)


@pytest.mark.parametrize(("op", "rest"), REDUCTIONS)
def test_reductions(op: str, rest: tuple[Any, ...]) -> None:
    (x,), masks = _random(SHAPE), (None, ROWS, COLUMNS)
    got = _interpret(op, [x], [masks], rest)
    want = _operator(op)(_slice(x, masks), *rest)
    for mine, theirs in zip(_tuple(got), _tuple(want), strict=True):
        along = mine.dim() > 0 and [1, 2] not in rest  # the columns are still there
        kept = _slice(mine, [None] * (mine.dim() - 1) + [COLUMNS]) if along else mine
        torch.testing.assert_close(kept, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "rest"), ALONG)
def test_along_an_axis(op: str, rest: tuple[Any, ...]) -> None:
    (x,), masks = _random(SHAPE), (None, ROWS, COLUMNS)
    got = _interpret(op, [x], [masks], rest)
    want = _operator(op)(_slice(x, masks), *rest)
    torch.testing.assert_close(_slice(got, masks), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("op", "dims", "rest", "slim", "train"),
    [
        ("layer_norm", (2,), ([6],), ([4],), False),
        ("layer_norm", (1, 2), ([8, 6],), ([5, 4],), False),
        ("group_norm", (1,), (4,), (4,), False),
        ("group_norm", (1,), (1,), (1,), False),
        ("batch_norm", (1,), (), (), True),
        ("batch_norm", (1,), (), (), False),
    ],
)
def test_norms(op: str, dims: tuple[int, ...], rest: Any, slim: Any, train: bool) -> None:
    kept = PAIRS if rest == (4,) else ROWS
    masks = (None, kept, COLUMNS)
    sizes = tuple(SHAPE[d] for d in dims)
    x, weight, bias = _random(SHAPE, sizes, sizes)
    own = tuple(masks[d] for d in dims)
    mean, variance = torch.zeros(8, dtype=torch.float64), torch.full((8,), 2.0, dtype=torch.float64)
    if op == "batch_norm":
        extra = [mean, variance]
        tail: tuple[Any, ...] = (False, 0.1, 1e-5, False)
        got = _interpret(
            f"{op}.default",
            [x, weight, bias, *extra],
            [masks, own, own, own, own],
            tail,
            train=train,
        )
        statistics = (None, None) if train else tuple(_slice(t, own) for t in extra)
        want = torch.ops.aten.batch_norm.default(
            _slice(x, masks), _slice(weight, own), _slice(bias, own), *statistics, train, *tail[1:]
        )
    else:
        got = _norm(op, [x, weight, bias], [masks, own, own], rest)
        want = _operator(f"{op}.default")(
            _slice(x, masks), *slim, _slice(weight, own), _slice(bias, own), 1e-5
        )
    torch.testing.assert_close(_slice(got, masks), want, rtol=1e-10, atol=1e-10)


def test_instance_and_rms_norm() -> None:
    x, weight = _random(SHAPE, (8,))
    masks = (None, ROWS, COLUMNS)
    got = _interpret(
        "instance_norm.default",
        [x, weight],
        [masks, (ROWS,)],
        (None, None, None, True, 0.1, 1e-5, False),
    )
    want = torch.nn.functional.instance_norm(_slice(x, masks), weight=weight[ROWS])
    torch.testing.assert_close(_slice(got, masks), want, rtol=1e-10, atol=1e-10)
    (scale,) = _random((6,))
    got = _norm("rms_norm", [x, scale], [masks, (COLUMNS,)], ([6],))
    want = torch.nn.functional.rms_norm(_slice(x, masks), (4,), scale[COLUMNS])
    torch.testing.assert_close(_slice(got, masks), want, rtol=1e-10, atol=1e-10)


def test_contractions_see_zeros() -> None:
    x, w = _random((2, 8), (5, 8))
    got = _interpret("linear.default", [x, w], [(None, ROWS), (None, ROWS)], ())
    torch.testing.assert_close(got, x[:, ROWS] @ w[:, ROWS].T)
    q, k, v = _random((2, 3, 8), (2, 4, 8), (2, 4, 5))
    got = _interpret(
        "scaled_dot_product_attention.default",
        [q, k, v],
        [(None, None, ROWS), (None, None, ROWS), None],
    )
    want = torch.softmax(q[..., ROWS] @ k[..., ROWS].mT / 8**0.5, -1) @ v
    torch.testing.assert_close(got, want)


def test_attention_over_kept_positions() -> None:
    q, k, v = _random((2, 3, 4), (2, 6, 4), (2, 6, 5))
    kept = (None, COLUMNS, None)
    got = _interpret("scaled_dot_product_attention.default", [q, k, v], [None, kept, kept])
    want = torch.softmax(q @ k[:, COLUMNS].mT / 2, -1) @ v[:, COLUMNS]
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("op", ["sort.default", "median.dim", "max_pool1d.default"])
def test_positions_and_windows_are_refused(op: str) -> None:
    (x,) = _random(SHAPE)
    rest = ([2],) if op.startswith("max_pool") else (2,)
    with pytest.raises(PruneError, match="P0803"):
        _interpret(op, [x], [(None, None, COLUMNS)], rest)


def test_no_operator_has_two_rules() -> None:
    tables = (CONTRACTIONS, MIXING, NORMS, ROUTING)
    assert len({name for t in tables for name in t}) == sum(map(len, tables))


@pytest.mark.parametrize("heads_first", [True, False])
def test_masks_follow_dynamic_sizes(heads_first: bool) -> None:
    heads = torch.tensor([True, False, True])
    sizes = Sizes({"N": 11, "T": 13}, {"N": 2, "T": 13})
    outer = heads[:, None].expand(3, 11) if heads_first else heads[None].expand(11, 3)
    wanted = heads[:, None].expand(3, 2) if heads_first else heads[None].expand(2, 3)
    got = resize(outer.reshape(-1), "3*N", sizes)
    assert got is not None
    assert torch.equal(got, wanted.reshape(-1))
    assert resize(torch.ones(33, dtype=torch.bool), "N + 22", sizes) is None
    with pytest.raises(ValueError, match="pruned"):
        resize(outer.reshape(-1), "N + 22", sizes)
    with pytest.raises(ValueError, match="depends"):
        resize(torch.arange(33) % 2 == 0, "3*N", sizes)


def _norm(op: str, operands: list[Tensor], masks: list[Any], rest: tuple[Any, ...]) -> Tensor:
    """A norm takes its sizes between the input and the weights: those go by name."""
    x, *weights = operands
    names = ("weight", "bias")[: len(weights)]
    inputs = [Input(n, _type(t)) for n, t in zip(("x", *names), operands, strict=True)]
    kwargs = tuple((n, Ref(n)) for n in names)
    arguments = tuple(tuple(r) if isinstance(r, list) else r for r in rest)
    node = Node("y", f"aten.{op}.default", (Ref("x"), *arguments), kwargs, _type(x))
    graph = Graph("g", (), tuple(inputs), (), (node,), Ref("y"))
    removed = Removed(dict(zip(("x", *names), masks, strict=True)), {})
    found: Tensor = interpreter.run(graph, {}, removed, operands)["y"]
    return found


def _operator(op: str) -> Any:
    base, overload = op.split(".")
    return getattr(getattr(torch.ops.aten, base), overload)


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
