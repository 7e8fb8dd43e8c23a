"""Compile a CIFAR ResNet to half its multiply-adds, and do the same with torch-pruning.

    python -m examples.resnet56 [--depth 20] [--no-baseline]

Images and weights are read from ``$PRUNEC_DATA`` or ``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

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
    Console().print(compare(options.depth, with_baseline=not options.no_baseline))
    return 0


def compare(depth: int, with_baseline: bool) -> Table:
    """Accuracy on the validation images of the dense model, prunec's and torch-pruning's, at the
    same budget.
    """
    net = model.pretrained(depth)
    evaluate = list(data.batches("validation"))
    table = Table("network", "MACs", "accuracy", "recalibrated", title=f"CIFAR-10 ResNet-{depth}")
    dense = baseline.macs(net)
    table.add_row("dense", f"{dense:_}", f"{baseline.accuracy(net, evaluate):.2%}", "")
    with tempfile.TemporaryDirectory() as folder:
        slim = prunec.compile(HERE / f"resnet{depth}.prune", out=Path(folder) / "out").module
    found = baseline.accuracy(slim, evaluate)
    table.add_row("prunec", f"{baseline.macs(slim):_}", f"{found:.2%}", "")
    if with_baseline:
        calibrate = list(data.batches("train", 1024))
        for row in baseline.run(net, dense // 2, calibrate, evaluate):
            name = f"torch-pruning, {row.importance}"
            table.add_row(name, f"{row.macs:_}", f"{row.bare:.2%}", f"{row.recalibrated:.2%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
