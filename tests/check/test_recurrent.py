"""Recurrent operators with removed units are the same operators on the kept slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunec.check import Removed, double, interpreter
from prunec.diagnostics import PruneError
from prunec.ir.graph import Graph, Input, Node, Ref, TensorType
from tests.check.build import compile, randomised
from tests.check.recurrent_nets import NETS, Layered, X

UNITS = np.array([True, False, True, True, False])
INPUTS = np.array([False, True, True, True])
NARROW = np.array([True, False, True])


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def _kept(tensor: Tensor, mask: Any) -> Tensor:
    for dim, kept in enumerate(mask):
        if kept is not None:
            tensor = tensor.index_select(dim, torch.from_numpy(np.flatnonzero(kept)))
    return tensor


def _interpret(op: str, args: tuple[Any, ...], masks: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The operator as one node; tensors, also those in lists, are inputs with their masks."""
    inputs: list[Input] = []
    values: list[Tensor] = []
    keep: dict[str, Any] = {}

    def put(value: Any, mask: Any) -> Any:
        if isinstance(value, list):
            return tuple(put(v, m) for v, m in zip(value, mask, strict=True))
        if not isinstance(value, Tensor):
            return value
        name = f"x{len(inputs)}"
        inputs.append(Input(name, TensorType(tuple(value.shape), "float64")))
        values.append(value)
        keep[name] = mask
        return Ref(name)

    made = tuple(map(put, args, (*masks, *[None] * (len(args) - len(masks)))))
    given = interpreter.overload(op)(*args)
    outs = given if isinstance(given, tuple) else (given,)
    types = tuple(TensorType(tuple(o.shape), "float64") for o in outs)
    node = Node("y", op, made, (), types if isinstance(given, tuple) else types[0])
    graph = Graph("g", (), tuple(inputs), (), (node,), Ref("y"))
    found = interpreter.run(graph, {}, Removed(keep, {}), values)["y"]
    return found if isinstance(found, tuple) else (found,)


GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_layers_are_the_operator_on_the_kept_slice(
    name: str, projected: bool, first: bool, both: bool
) -> None:
    if projected and name != "lstm":
        return
    torch.manual_seed(0)
    directions, rows = (2 if both else 1), np.tile(UNITS, GATES[name])
    state = NARROW if projected else UNITS
    params: list[Tensor] = []
    masks: list[Any] = []
    for layer in range(2):
        reads = np.tile(state, directions) if layer else INPUTS
        for _ in range(directions):
            params += [_random(len(rows), len(reads)), _random(len(rows), len(state))]
            masks += [(rows, reads), (rows, state)]
            params += [_random(len(rows)), _random(len(rows))]
            masks += [(rows,), (rows,)]
            if projected:
                params.append(_random(len(state), len(UNITS)))
                masks.append((state, UNITS))
    x = _random(3, 6, len(INPUTS))
    samples = 3 if first else 6
    hx: Any = [_random(2 * directions, samples, len(state))]
    hx_masks: Any = [(None, None, state)]
    if name == "lstm":
        hx.append(_random(2 * directions, samples, len(UNITS)))
        hx_masks.append((None, None, UNITS))
    else:
        hx, hx_masks = hx[0], hx_masks[0]
    rest = (True, 2, 0.0, False, both, first)
    x_mask = (None, None, INPUTS)
    found = _interpret(f"aten.{name}.input", (x, hx, params, *rest), (x_mask, hx_masks, masks))
    slim_hx = (
        [_kept(h, m) for h, m in zip(hx, hx_masks, strict=True)]
        if name == "lstm"
        else _kept(hx, hx_masks)
    )
    slim_params = [_kept(p, m) for p, m in zip(params, masks, strict=True)]
    operator = interpreter.overload(f"aten.{name}.input")
    wanted = operator(_kept(x, x_mask), slim_hx, slim_params, *rest)
    torch.testing.assert_close(_kept(found[0], (None, None, np.tile(state, directions))), wanted[0])
    torch.testing.assert_close(_kept(found[1], (None, None, state)), wanted[1])
    if name == "lstm":
        torch.testing.assert_close(_kept(found[2], (None, None, UNITS)), wanted[2])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_cells_are_the_operator_on_the_kept_slice(name: str, bias: bool) -> None:
    torch.manual_seed(0)
    rows = np.tile(UNITS, GATES[name])
    x, states = _random(3, len(INPUTS)), [_random(3, len(UNITS)) for _ in range(2)]
    weights = [_random(len(rows), len(INPUTS)), _random(len(rows), len(UNITS))]
    masks: list[Any] = [(rows, INPUTS), (rows, UNITS)]
    if bias:
        weights += [_random(len(rows)), _random(len(rows))]
        masks += [(rows,), (rows,)]
    of_state = (None, UNITS)
    lstm = name == "lstm"
    hx: Any = states if lstm else states[0]
    found = _interpret(
        f"aten.{name}_cell.default",
        (x, hx, *weights),
        ((None, INPUTS), [of_state] * 2 if lstm else of_state, *masks),
    )
    slim: Any = [_kept(s, of_state) for s in states]
    wanted = interpreter.overload(f"aten.{name}_cell.default")(
        _kept(x, (None, INPUTS)),
        slim if lstm else slim[0],
        *(_kept(w, m) for w, m in zip(weights, masks, strict=True)),
    )
    for got, want in zip(found, wanted if lstm else (wanted,), strict=True):
        torch.testing.assert_close(_kept(got, of_state), want)


def test_steps_and_samples_cannot_be_removed() -> None:
    x, state = _random(4, 3, 2), _random(1, 3, 5)
    params = [_random(5, 2), _random(5, 5)]
    rest = (False, 1, 0.0, False, False, False)
    for dim, size in enumerate((4, 3)):
        mask: list[Any] = [None, None, None]
        mask[dim] = np.arange(size) > 0
        masks = (tuple(mask), (None, None, None), [(None, None)] * 2)
        with pytest.raises(PruneError, match="P0803"):
            _interpret("aten.rnn_tanh.input", (x, state, params, *rest), masks)


@pytest.mark.parametrize("keep", [0.3, 0.7])
@pytest.mark.parametrize("name", NETS)
def test_a_slim_network_is_its_masked_twin(name: str, keep: float) -> None:
    compiled = compile(randomised(NETS[name]()), X, keep=keep)
    assert compiled.groups
    found = compiled.check()
    assert found.equal, "\n".join(map(str, found.diagnostics))
    assert {case.name.split(",")[0] for case in found.cases} >= {"eval", "train"}


@pytest.mark.parametrize("name", ["lstm both ways, two layers", "gru", "cells"])
def test_a_wrong_unit_shows(name: str) -> None:
    compiled = compile(randomised(NETS[name]()), X)
    for weight, mask in compiled.removed.weights.items():
        if "weight_hh" not in weight or mask is None:
            continue
        slim = dict(compiled.slim.named_parameters())[weight]
        with torch.no_grad():
            slim.copy_(slim.flip(0))
    assert not compiled.check().equal


def test_a_claim_about_a_state_that_is_withdrawn_shows() -> None:
    compiled = compile(randomised(NETS["encoder and decoder"]()), X)
    assert compiled.check().equal
    inner = [n.name for n in compiled.graph.nodes if n.op == "getitem"]
    assert not compiled.without(*inner).check().equal


def test_nothing_drops_in_the_world_of_the_proof() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5).double().train()
    x = _random(5, 2, 3)
    with double.world():
        assert torch.equal(layer(x)[0], layer(x)[0])
        assert torch.equal(layer(x)[0], layer.eval()(x)[0])
    layer.train()
    assert not torch.equal(layer(x)[0], layer(x)[0])


def test_dynamic_lengths_stay_dynamic() -> None:
    model = randomised(Layered(nn.LSTM(8, 5, num_layers=2, batch_first=True, bidirectional=True)))
    compiled = compile(model, X, dynamic={"x": {0: "N", 1: "T"}})
    assert compiled.check().equal
    for length in (1, 9):
        assert compiled.slim(torch.randn(3, length, 6)).shape == (3, length, 3)
