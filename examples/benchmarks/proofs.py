"""Compile real architectures at random widths and prove each result.

    python -m examples.benchmarks.proofs [MODEL ...] [--macs 60] [--seed 0]

Weights are random and so are the channels that go: the proof is about structure. Every line is one
compile with all checks: the masked twin in float64 in train and eval mode at several batch sizes,
names and shapes, and the emitted file alone in a fresh process. MACs and parameters are counted on
the emitted module by torch's own counter. Needs torchvision 0.28.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import prunec
from examples.benchmarks.torchvision_models import build
from examples.resnet56.model import resnet20, resnet56

TORCHVISION = (
    "resnet18",
    "densenet121",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "inception_v3",
)
MODELS = ("resnet20", "resnet56", *TORCHVISION)


def main() -> None:
    """Print one line a model; exit 1 where a proof fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--macs", type=int, default=60, help="per cent of the MACs to stay under")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{'model':>20} {'MACs':>6} {'counted':>8} {'params':>7} {'error':>8} {'lines':>6} {'s':>6}"
    )
    failed = [name for name in options.models if not _prove(name, options.macs, options.seed)]
    raise SystemExit(f"not proved: {', '.join(failed)}" if failed else 0)


def _prove(name: str, share: int, seed: int) -> bool:
    """Compile one model, print its line, and say whether all checks held."""
    model, example = _model(name)
    spec = f"target macs <= {share}%\nprune channels {{ score random(seed={seed}) }}\nrepair none\n"
    start = time.perf_counter()
    compiled = prunec.compile(spec, model=model, args=(example,))
    spent = time.perf_counter() - start
    macs, params = compiled.plan.costs[:2]
    counted = (_macs(compiled.module, example) == macs.slim) and (
        sum(p.numel() for p in compiled.module.parameters()) == params.slim
    )
    errors = [c.detail.rpartition(" ")[2] for c in compiled.report.checks if "twin" in c.name]
    holds = counted and all(check.passed for check in compiled.report.checks)
    print(
        f"{name:>20} {macs.slim / macs.dense:>6.1%} {'equal' if counted else 'DIFFER':>8} "
        f"{params.slim / params.dense:>7.1%} {', '.join(errors):>8} "
        f"{len(compiled.source.splitlines()):>6} {spent:>6.1f}",
        flush=True,
    )
    return holds


def _model(name: str) -> tuple[nn.Module, Tensor]:
    if name in {"resnet20", "resnet56"}:
        torch.manual_seed(0)
        return (resnet20 if name == "resnet20" else resnet56)().eval(), torch.randn(2, 3, 32, 32)
    inception = name == "inception_v3"
    size = 299 if inception else 224
    options = {"init_weights": False} if inception else {}
    return build(name, **options), torch.randn(2, 3, size, size)


def _macs(module: nn.Module, example: Tensor) -> float:
    """MACs of one sample by torch's counter, which sees attention only where it is written out."""
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(example[:1])
    return counter.get_total_flops() / 2


if __name__ == "__main__":
    main()
