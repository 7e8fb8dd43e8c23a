"""What it takes to plan again for another budget: with the scores of the first time, and without.

    python -m examples.benchmarks.resolve [--depth 56] [--images 1024]

A CIFAR ResNet is planned for half its multiply-adds with an empty cache, for another budget with
what the cache then knows, and for that same budget without a cache. Images and weights are read
from ``$PRUNEC_DATA`` or ``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from examples.benchmarks.scale import Stages
from examples.resnet56 import data, model
from prunec import driver, prepare
from prunec.ir.plan import Plan
from prunec.prepare import Job, Memory

SPEC = "target macs <= {share}%\nprune channels {{ score obs() }}\nsolve dp\n"
FIRST, OTHER = 50, 40


def main() -> int:
    """Print seconds by stage, one column a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, choices=(20, 56), default=56)
    parser.add_argument("--images", type=int, default=1024)
    options = parser.parse_args()
    if not data.available():
        print(f"no {data.ARCHIVE} in {data.folder()}: set PRUNEC_DATA", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    net, images = model.pretrained(options.depth), list(data.batches("train", options.images))
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            f"first, {FIRST}%": _plan(net, images, FIRST, Path(folder)),
            f"again, {OTHER}%": _plan(net, images, OTHER, Path(folder)),
            f"anew, {OTHER}%": _plan(net, images, OTHER, None),
        }
    (_, again), (_, anew) = list(runs.values())[1:]
    assert again == anew, "the cache changes no plan"
    print(f"ResNet-{options.depth}, {options.images} images: seconds")
    print(f"{'':32}" + "".join(f"{name:>14}" for name in runs))
    for stage in dict.fromkeys(stage for spent, _ in runs.values() for stage in spent):
        print(f"{stage:32}" + "".join(f"{s.get(stage, 0):>14.2f}" for s, _ in runs.values()))
    print(f"{'all':32}" + "".join(f"{sum(s.values()):>14.2f}" for s, _ in runs.values()))
    return 0


def _plan(
    net: torch.nn.Module, images: Sequence[object], share: int, cache: Path | None
) -> tuple[dict[str, float], Plan]:
    stages = Stages()
    spec, folder = prepare.read(SPEC.format(share=share), in_memory=True)
    memory = Memory(net, (torch.zeros(2, 3, 32, 32),))
    job = Job(spec, folder, memory, calibrate=images, stage=stages, cache=cache)
    found = driver.plan(job).plan
    stages("")
    return stages.spent, found


if __name__ == "__main__":
    sys.exit(main())
