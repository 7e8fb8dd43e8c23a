"""A machine that needs no time: kernels whose times are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import prepare, understand
from prunec.ir.graph import Graph, Node, TensorType
from prunec.passes.latency.units import timed
from prunec.profile import Example, Meter, Sample
from prunec.spec import Device
from prunec.understand import Understood

OVERHEAD = 700
"""What a node costs in a whole model, beside its kernel."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 24, 3, padding=1)
        self.two = nn.Conv2d(24, 40, 3, padding=1)
        self.three = nn.Conv2d(40, 32, 3, padding=1)
        self.out = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.two(F.relu(self.one(x))))
        return self.out(F.relu(self.three(x)).mean((2, 3)))


def model(net: nn.Module | None = None) -> Understood:
    torch.manual_seed(0)
    given = (torch.randn(2, 3, 8, 8),)
    return understand.run(prepare.given((net or Net()).eval(), given, {}))


def kernel(graph: Graph, node: Node) -> int:
    """The nanoseconds of a node: by its multiply-adds, in blocks of 16, and what it writes."""
    kind = graph.types[node.name]
    channels = kind.shape[1] if isinstance(kind, TensorType) and kind.rank > 1 else 1
    time = 3000 + 10 * channels
    for ref in node.weight_refs():
        shape = graph.weight[ref.name].type.shape
        if len(shape) > 1:
            time += 4 * -(-shape[0] // 16) * 16 * -(-shape[1] // 16) * 16
    return time


@dataclass
class Fake:
    """Surveys by `kernel`; ``surveys`` counts the settings of every call. ``dies`` after so many
    calls, as an interrupted run does.
    """

    surveys: list[int] = field(default_factory=list)
    dies: int = 10**9

    def survey(
        self,
        graphs: Sequence[tuple[Graph, Mapping[str, Tensor]]],
        modules: Sequence[nn.Module],
        example: Example,
        device: Device,
        *,
        turns: int,
        turn: int,
    ) -> tuple[list[list[Sample]], list[Sample]]:
        if len(self.surveys) == self.dies:
            raise KeyboardInterrupt
        self.surveys.append(len(graphs))
        nodes = [[Sample(kernel(g, n), 10, turns) for n in g.nodes if timed(n)] for g, _ in graphs]
        total = {
            _shapes(w): sum(s.ns + OVERHEAD for s in times)
            for (_, w), times in zip(graphs, nodes, strict=True)
        }
        whole = [Sample(total[_shapes(m.state_dict())], 20, turns) for m in modules]
        return nodes, whole

    @property
    def meter(self) -> Meter:
        return Meter(survey=self.survey, breaks=lambda signature, largest: [[] for _ in largest])


def _shapes(weights: Mapping[str, Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(sorted(tuple(w.shape) for w in weights.values()))
