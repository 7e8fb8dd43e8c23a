"""The same task for torch-pruning 1.6.1: the best it leaves at the same multiply-adds, without
training.

torch-pruning raises on the zero-padded shortcuts when it prunes what flows through them, so every
convolution whose output enters the residual stream is excluded by hand; what remains is the inner
width of each block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

Batches = Sequence[tuple[Tensor, Tensor]]
EXAMPLE = (1, 3, 32, 32)
IMPORTANCES: dict[str, Callable[[], tp.importance.Importance]] = {
    "magnitude": lambda: tp.importance.MagnitudeImportance(p=2),
    "batch-norm scale": tp.importance.BNScaleImportance,
    "taylor": tp.importance.TaylorImportance,
}


@dataclass(frozen=True)
class Result:
    """What one importance left: multiply-adds, accuracy bare and with batch norms recalibrated."""

    importance: str
    macs: int
    bare: float
    recalibrated: float


def run(net: nn.Module, most: int, calibrate: Batches, evaluate: Batches) -> Iterator[Result]:
    """One result per importance, each at no more than ``most`` multiply-adds."""
    for name, importance in IMPORTANCES.items():
        slim = _prune(net, importance, most, calibrate)
        bare = accuracy(slim, evaluate)
        _recalibrate(slim, calibrate)
        yield Result(name, macs(slim), bare, accuracy(slim, evaluate))


def macs(net: nn.Module) -> int:
    """Multiply-adds of one image, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(EXAMPLE))
    return int(counter.get_total_flops()) // 2


def accuracy(net: nn.Module, batches: Batches) -> float:
    """The share of right answers, in eval mode."""
    net.eval()
    with torch.no_grad():
        right = sum(int((net(x).argmax(1) == y).sum()) for x, y in batches)
    return right / sum(len(y) for _, y in batches)


def _prune(
    net: nn.Module, importance: Callable[[], tp.importance.Importance], most: int, data: Batches
) -> nn.Module:
    """The largest model within the budget, over the ratios of global pruning (by bisection)."""
    gradients = _gradients(net, data)
    low, high, best = 0.0, 1.0, net
    for _ in range(12):
        ratio = (low + high) / 2
        slim = _pruned(net, gradients, importance(), ratio)
        if macs(slim) <= most:
            high, best = ratio, slim
        else:
            low = ratio
    return best


def _pruned(
    net: nn.Module, gradients: dict[str, Tensor], importance: tp.importance.Importance, ratio: float
) -> nn.Module:
    slim = copy.deepcopy(net)
    for name, parameter in slim.named_parameters():
        parameter.grad = gradients[name].clone()
    pruner = tp.pruner.BasePruner(
        slim,
        torch.zeros(EXAMPLE),
        importance=importance,
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=_stream(slim),
    )
    pruner.step()
    slim.zero_grad()
    return slim


def _stream(net: nn.Module) -> list[nn.Module]:
    """The layers that write to the residual stream, and the classifier."""
    return [m for n, m in net.named_modules() if n in ("conv1", "linear") or n.endswith(".conv2")]


def _gradients(net: nn.Module, data: Batches) -> dict[str, Tensor]:
    """Gradients of the mean loss over the calibration images."""
    net.eval()
    net.zero_grad()
    images = sum(len(y) for _, y in data)
    for x, y in data:
        (F.cross_entropy(net(x), y, reduction="sum") / images).backward()
    found = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    return found


def _recalibrate(net: nn.Module, data: Batches) -> None:
    """Batch-norm statistics anew, as the plain average over the calibration batches."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    net.train()
    with torch.no_grad():
        for x, _ in data:
            net(x)
    net.eval()
