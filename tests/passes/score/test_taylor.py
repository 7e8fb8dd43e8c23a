"""Gate gradients against finite differences and the batch-norm identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunec.passes.execute import run as execute
from prunec.passes.score import taylor
from prunec.passes.score.context import consumers
from prunec.passes.score.objective import loss
from tests.passes.small import Attention, Residual, Small, build


def loss_with_gate(small: Small, name: str, channel: int, gate: float) -> float:
    """The loss when the inputs of every consumer of one channel are multiplied by a gate."""
    group = small.group(name)
    weights = dict(small.weights)
    for place in consumers(small.context, group):
        weight = weights[place.weight].clone()
        weight.select(place.dim, channel).mul_(gate)
        weights[place.weight] = weight
    batch = small.batches[0]
    return float(loss(execute(small.graph, weights, batch.inputs), batch))


@pytest.mark.parametrize("name", ["{stem,conv2}", "conv1"])
def test_gates_are_derivatives(name: str) -> None:
    small = build(Residual(), 4, 3, 6, 6, classes=5)
    found = taylor.gates(small.context, small.batches[0])[small.group(name).name]
    for channel in range(4):
        step = 1e-5
        up, down = (loss_with_gate(small, name, channel, 1 + s) for s in (step, -step))
        assert found[channel] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-9)


def test_a_gate_behind_a_batch_norm_and_relu_is_gamma_and_beta_flow() -> None:
    small = build(Residual(), 4, 3, 6, 6, classes=5)
    batch = small.batches[0]
    leaves = {n: small.weights[n].clone().requires_grad_() for n in ("norm1.weight", "norm1.bias")}
    value = loss(execute(small.graph, small.weights | leaves, batch.inputs), batch)
    gamma, beta = torch.autograd.grad(value, list(leaves.values()))
    flow = (gamma * leaves["norm1.weight"] + beta * leaves["norm1.bias"]).detach().numpy()
    found = taylor.gates(small.context, batch)[small.group("conv1").name]
    np.testing.assert_allclose(found, flow, rtol=1e-10, atol=1e-12)


def test_channels_nobody_reads_score_zero() -> None:
    small = build(Residual(), 4, 3, 6, 6, classes=5)
    small.weights["conv2.weight"][:, 5] = 0.0
    ranking = taylor.run(small.context)[small.group("conv1").name]
    assert ranking.order[0] == 5
    assert ranking.loss[1] == 0


def test_the_gate_of_queries_and_keys_sits_on_either() -> None:
    small = build(Attention(), 4, 7, 6)
    small_batch = type(small.batches[0])(
        small.batches[0].inputs, torch.randn(4, 7, 3, dtype=torch.float64)
    )
    name = small.group("{q,k}").name
    found = taylor.gates(small.context, small_batch)[name]
    for made in ("q", "k"):
        leaves = {
            n: small.weights[n].clone().requires_grad_() for n in (f"{made}.weight", f"{made}.bias")
        }
        value = loss(execute(small.graph, small.weights | leaves, small_batch.inputs), small_batch)
        weight, bias = torch.autograd.grad(value, list(leaves.values()))
        flow = (weight * leaves[f"{made}.weight"]).sum(1) + bias * leaves[f"{made}.bias"]
        np.testing.assert_allclose(found, flow.detach().numpy(), rtol=1e-8, atol=1e-12)
