"""Compile a CIFAR ResNet to half its multiply-adds, and do the same with torch-pruning.

    python -m examples.resnet56 [--depth 20] [--no-baseline]

Images and weights are read from ``$PRUNEC_DATA`` or ``../shared/data`` beside the checkout. The
slim network is written to ``build/`` in the working folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import prunec
from examples.resnet56 import baseline, data, model

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.resnet56", description=__doc__)
    parser.add_argument("--depth", type=int, choices=(20, 56), default=56)
    parser.add_argument("--no-baseline", action="store_true", help="leave torch-pruning out")
    options = parser.parse_args()
    if not data.available():
        print(f"no {data.ARCHIVE} in {data.folder()}: set PRUNEC_DATA", file=sys.stderr)
        return 2
    print(f"CIFAR ResNet-{options.depth}, accuracy on {data.COUNT['validation']} images")
    print(f"{'':34}{'MACs':>14}{'accuracy':>10}{'recalibrated':>14}")
    for name, macs, accuracy, recalibrated in rows(options.depth, not options.no_baseline):
        again = "" if recalibrated is None else f"{recalibrated:.2%}"
        print(f"{name:34}{macs:>14_}{accuracy:>10.2%}{again:>14}", flush=True)
    return 0


def rows(depth: int, with_baseline: bool) -> Iterator[tuple[str, int, float, float | None]]:
    """Name, multiply-adds, accuracy bare and with batch norms recalibrated, model by model."""
    net = model.pretrained(depth)
    compiled = prunec.compile(HERE / f"resnet{depth}.prune", out=f"build/resnet{depth}")
    found = compiled.report.accuracy
    assert found is not None, "the spec names evaluation data"
    dense = baseline.macs(net)
    yield "dense", dense, found.dense, None
    yield "prunec", baseline.macs(compiled.module), found.slim, None
    if with_baseline:
        calibrate, evaluate = list(data.batches("train", 1024)), list(data.batches("validation"))
        for row in baseline.run(net, dense // 2, calibrate, evaluate):
            yield f"torch-pruning, {row.importance}", row.macs, row.bare, row.recalibrated


if __name__ == "__main__":
    sys.exit(main())
