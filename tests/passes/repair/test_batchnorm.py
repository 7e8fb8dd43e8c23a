"""Re-estimated statistics against those counted by hand."""

from __future__ import annotations

import torch

from prunec.passes import repair
from prunec.passes.execute import run as execute
from prunec.passes.repair.norm import moments
from prunec.spec import BatchNorm
from tests.passes.small import Residual, build


def at(graph, weights, batches, name):
    """The inputs of the batch norm that owns ``name``, per batch."""
    seen = []

    def observe(node, args, value):
        if name in {r.name for r in node.weight_refs()}:
            seen.append(args[0])

    for batch in batches:
        execute(graph, weights, batch.inputs, observe)
    return seen


def test_moments_are_exact_over_unequal_batches() -> None:
    values = [torch.randn(n, 3, 4, dtype=torch.float64) + 5 for n in (1, 4, 2)]
    mean, var = moments(values)
    whole = torch.cat(values)
    torch.testing.assert_close(mean, whole.mean((0, 2)))
    torch.testing.assert_close(var, whole.var((0, 2), correction=0))


def test_where_the_dense_statistics_are_exact_the_slim_ones_are_too() -> None:
    small = build(Residual(), 8, 3, 6, 6)
    for norm in ("norm", "norm1", "norm2"):
        mean, var = moments(at(small.graph, small.weights, small.batches, f"{norm}.weight"))
        small.weights[f"{norm}.running_mean"], small.weights[f"{norm}.running_var"] = mean, var
    shrunk = small.shrink(conv1=(0, 1, 2, 3, 4), **{"{stem,conv2}": (0, 1, 3, 4, 6, 7)})
    # without the correction of the residual sum, every norm sees plain statistics
    found = repair.run((BatchNorm(),), small.graph, small.weights, shrunk, small.batches)
    mean, var = moments(at(shrunk.graph, found, small.batches, "norm1.weight"))
    torch.testing.assert_close(found["norm1.running_mean"], mean)
    torch.testing.assert_close(found["norm1.running_var"], var)
    assert found["norm.running_mean"] is shrunk.weights["norm.running_mean"]


def test_the_normalised_moments_of_the_target_come_back() -> None:
    small = build(Residual(), 8, 3, 6, 6)
    shrunk = small.shrink(conv1=(0, 1, 2, 3, 4))
    found = repair.run((BatchNorm(),), small.graph, small.weights, shrunk, small.batches)

    def normalised(graph, weights):
        mean, var = moments(at(graph, weights, small.batches, "norm2.weight"))
        deviation = (weights["norm2.running_var"] + 1e-5).sqrt()
        return (mean - weights["norm2.running_mean"]) / deviation, (var + 1e-5).sqrt() / deviation

    for got, want in zip(
        normalised(shrunk.graph, found), normalised(small.graph, small.weights), strict=True
    ):
        torch.testing.assert_close(got, want)
    for name in found:
        assert (found[name] is shrunk.weights[name]) == (not name.startswith("norm2.running"))
