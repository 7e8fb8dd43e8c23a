"""Small models for the passes that compute: traced, with axes and groups solved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunec import trace
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Group
from prunec.ir.plan import Plan
from prunec.passes import axes, group, shrink
from prunec.passes.batches import Batch
from prunec.passes.score.context import Context
from prunec.passes.shrink import Shrunk


@dataclass(frozen=True)
class Small:
    """A traced module with its groups, and calibration batches."""

    module: nn.Module
    graph: Graph
    weights: dict[str, Tensor]
    axes: Axes
    groups: tuple[Group, ...]
    batches: tuple[Batch, ...]

    @property
    def context(self) -> Context:
        return Context(self.graph, self.weights, self.axes, self.groups, self.batches, self.module)

    def group(self, name: str) -> Group:
        """The one group whose name begins so."""
        (found,) = (g for g in self.groups if g.name.startswith(name))
        return found

    def shrink(self, **keep: tuple[int, ...]) -> Shrunk:
        """Shrunk to the kept channels of groups, by the beginning of their names (``__`` for a
        dot).
        """
        plan = Plan({self.group(n.replace("__", ".")).name: k for n, k in keep.items()})
        return shrink.run(self.graph, self.weights, self.axes, self.groups, plan)


class Residual(nn.Module):
    """A stem, one residual block and a linear head; batch norms have random statistics."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 8, 3, padding=1, bias=False, groups=groups)
        self.norm2 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        y = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(y)) + x)
        return self.head(x.mean((2, 3)))


class Mlp(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.fc1 = nn.Linear(4, width)
        self.fc2 = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class Attention(nn.Module):
    """One head of attention: only activations contract what queries and keys share."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(6, 4)
        self.k = nn.Linear(6, 4)
        self.v = nn.Linear(6, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.q(x) @ self.k(x).transpose(1, 2)).softmax(-1)
        return self.out(weights @ self.v(x))


def build(module: nn.Module, *shape: int, batches: int = 3, classes: int | None = None) -> Small:
    """The module, with random statistics and float64 weights, on random batches of this shape."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for name, weight in module.state_dict().items():
            if weight.is_floating_point():
                noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                weight.copy_(noise.abs() + 0.5 if name.endswith("running_var") else 0.4 * noise)
    data = []
    for _ in range(batches):
        x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, classes or 2, shape[:1], generator=generator)
        data.append(Batch((x,), labels if classes else None))
    traced = trace.run(module, (data[0].inputs[0],))
    solved = axes.run(traced.graph)
    groups = group.run(traced.graph, solved)
    weights = {n: w.detach() for n, w in traced.weights.items()}
    return Small(module, traced.graph, weights, solved, groups, tuple(data))
