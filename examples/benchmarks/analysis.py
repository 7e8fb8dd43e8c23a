"""Time the analysis: axes and groups here, DependencyGraph and all its groups in torch-pruning.

    python -m examples.benchmarks.analysis

Both sides run in turn in one process, five times after a warm-up; medians and their ratio are
printed. The growth of axis inference is measured on residual chains of 100 to 10,000 nodes. Tracing
is left out on our side and included in the peer's, whose graph is built from a backward pass and
cannot be had apart; the time of `torch.export` is printed beside.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from prunec import trace
from prunec.ir.graph import (
    Argument,
    Call,
    Graph,
    Input,
    Module,
    Node,
    Ref,
    TensorType,
    Weight,
    WeightRef,
)
from prunec.passes import axes, group

REPEATS = 5


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"{'model':>10} {'export s':>9} {'prunec ms':>10} {'torch-pruning ms':>17} {'ratio':>7}")
    for name in ("resnet50", "vit_b_16"):
        _compare(name)
    print(f"\n{'nodes':>10} {'ms':>10} {'us a node':>10}")
    for count in (100, 300, 1000, 3000, 10_000):
        graph = chain(count)
        spent = _median(lambda graph=graph: group.run(graph, axes.run(graph)))
        print(
            f"{len(graph.nodes):>10} {spent * 1e3:>10.2f} {spent / len(graph.nodes) * 1e6:>10.1f}"
        )


def _compare(name: str) -> None:
    model, example = _torchvision(name), torch.randn(1, 3, 224, 224)
    start = time.perf_counter()
    graph = trace.run(model, (example,)).graph
    export = time.perf_counter() - start
    ours, theirs = [], []
    for _ in range(REPEATS + 1):
        ours.append(_seconds(lambda: group.run(graph, axes.run(graph))))
        theirs.append(_seconds(lambda: _all_groups(model, example)))
    mine, peer = median(ours[1:]), median(theirs[1:])
    print(f"{name:>10} {export:>9.2f} {mine * 1e3:>10.1f} {peer * 1e3:>17.1f} {peer / mine:>6.1f}x")


def _all_groups(model: nn.Module, example: torch.Tensor) -> int:
    import torch_pruning as tp

    dependencies = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    return len(list(dependencies.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear])))


def chain(nodes: int, width: int = 64) -> Graph:
    """A residual chain of about so many nodes: conv, batch norm, relu, add."""
    made = _Chain(TensorType((7, width, 8, 8), "float32", ("N", None, None, None)))
    value = made.convolution("stem", "x", (width, 3, 3, 3))
    for block in range(nodes // 4):
        inner = made.convolution(f"b{block}", value, (width, width, 3, 3))
        relu = made.node(f"relu{block}", "aten.relu.default", Ref(inner))
        value = made.node(f"add{block}", "aten.add.Tensor", Ref(value), Ref(relu))
    given = Input("x", TensorType((7, 3, 8, 8), "float32", ("N", None, None, None)))
    root = (Module("", "Chain"),)
    return Graph("Chain", (), (given,), tuple(made.weights), tuple(made.nodes), Ref(value), root)


class _Chain:
    """Nodes of one type, and the weights that they read."""

    def __init__(self, kind: TensorType) -> None:
        self.kind = kind
        self.nodes: list[Node] = []
        self.weights: list[Weight] = []

    def node(self, name: str, op: str, *args: Argument) -> str:
        self.nodes.append(Node(name, op, args, type=self.kind, scope=(Call("", "Chain"),)))
        return name

    def weight(self, name: str, shape: tuple[int, ...]) -> WeightRef:
        self.weights.append(Weight(name, TensorType(shape, "float32"), "parameter"))
        return WeightRef(name)

    def convolution(self, name: str, source: str, shape: tuple[int, ...]) -> str:
        """A convolution and its batch norm; the name of the result."""
        kernel = self.weight(f"{name}.weight", shape)
        conv = self.node(
            f"{name}_conv", "aten.conv2d.default", Ref(source), kernel, None, (1, 1), (1, 1)
        )
        parts = [
            self.weight(f"{name}_bn.{part}", shape[:1])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        rest = (False, 0.1, 1e-5, True)
        return self.node(f"{name}_norm", "aten.batch_norm.default", Ref(conv), *parts, *rest)


def _torchvision(name: str) -> nn.Module:
    from examples.benchmarks.torchvision_models import build

    return build(name)


def _median(work: Callable[[], object]) -> float:
    work()
    return median(_seconds(work) for _ in range(REPEATS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
