"""An operator without a signature is asked by experiment; what it does not show is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from prunec import trace
from prunec.ir.group import Axes
from prunec.passes import axes, group
from tests.check import build


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[None]:
    """Operators of our own, in a namespace of our own."""
    found = {
        "wave(Tensor x, float k) -> Tensor": lambda x, k: torch.sin(x * k),
        "ramp(Tensor x) -> Tensor": lambda x: x * torch.arange(1.0, x.shape[-1] + 1, dtype=x.dtype),
        "norm(Tensor x) -> Tensor": lambda x: x / (x.abs().sum(-1, keepdim=True) + 1),
        "turn(Tensor x) -> Tensor": lambda x: x.flip(-1),
        "swap(Tensor x) -> Tensor": lambda x: x.transpose(1, 2).clone(),
        "mix(Tensor x, Tensor y) -> (Tensor, Tensor)": lambda x, y: (x * y, y.cumsum(1)),
        "cut(Tensor x, int n) -> Tensor": lambda x, n: x.reshape(-1, n).reshape(x.shape) + 1,
        "noise(Tensor x) -> Tensor": lambda x: x + torch.rand(x.shape, dtype=x.dtype),
    }
    library = torch.library.Library("probed", "DEF")
    for schema, function in found.items():
        library.define(schema)
        name = schema.partition("(")[0]
        library.impl(name, function, "CompositeExplicitAutograd")
        if name in {"ramp", "noise"}:
            library.impl(name, torch.empty_like, "Meta")
    yield
    library._destroy()


class Applied(nn.Module):
    def __init__(self, op: Callable[..., Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.op = nn.Linear(6, 8), nn.Linear(8, 4), op

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.op(self.a(x)))


class Swapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Conv1d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.ops.probed.swap(self.a(x)))


X = torch.randn(2, 5, 6)


def infer(module: nn.Module) -> tuple[Axes, set[str]]:
    graph = trace.run(module, (X,)).graph
    solved = axes.run(graph)
    return solved, {g.name for g in group.run(graph, solved)}


def test_index_by_index_is_free() -> None:
    module = build.randomised(Applied(lambda x: torch.ops.probed.wave(x, 2.0)))
    solved, groups = infer(module)
    assert groups == {"a"}
    assert len(solved.probed) == 1
    assert build.compile(module, X).check().equal


def test_a_permutation_of_dimensions_is_found() -> None:
    module = build.randomised(Swapped())
    assert infer(module)[1] == {"a"}
    assert build.compile(module, X).check().equal


@pytest.mark.parametrize("name", ["ramp", "norm", "turn"])
def test_positions_sums_and_orders_freeze(name: str) -> None:
    solved, groups = infer(Applied(getattr(torch.ops.probed, name)))
    assert groups == set()
    reasons = {why.reason for why in solved.frozen.values()}
    assert f"no signature: by a probe it is not index by index (`probed.{name}`)" in reasons


def test_a_number_that_is_a_size_freezes_its_axis() -> None:
    assert infer(Applied(lambda x: torch.ops.probed.cut(x, 8)))[1] == set()


def test_random_operators_are_refused() -> None:
    solved, groups = infer(Applied(torch.ops.probed.noise))
    assert groups == set()
    (unknown,) = solved.unknown
    assert unknown.op == "probed.noise.default"
    assert "not conclusive" in unknown.reason
    assert unknown.line is not None


def test_one_axis_of_two_may_be_free() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)
            self.scale = nn.Parameter(torch.randn(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            first, second = torch.ops.probed.mix(self.a(x).sum(0), self.scale)
            return self.b(first) + second.sum()

    solved, groups = infer(Two())
    assert groups == set()  # a scan over channels freezes them; the other result alone would not
    assert len(solved.probed) == 1


def test_an_operator_of_another_namespace_is_not_taken_for_atens() -> None:
    solved, _ = infer(Applied(torch.ops.probed.norm))
    assert solved.mixing == {}
