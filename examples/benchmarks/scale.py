"""Analyse and plan a model of the size of Llama 3 8B, without its weights.

    python -m examples.benchmarks.scale [--layers 32]

The model is built on the meta device, which has shapes and no values: what is printed is all that
can be known before a single weight is loaded. Needs transformers.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections import Counter
from typing import Any

import torch

from examples.benchmarks.torchvision_models import register
from prunec import driver, prepare
from prunec.prepare import Job, Memory
from prunec.report.analysis import Analysis

SPEC = "target params <= 70%\nprune channels { score random(seed=0) }\nrepair none\n"


def main() -> None:
    """Print seconds by stage, peak memory, and the groups of a layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=32)
    layers: int = parser.parse_args().layers
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, tokens = llama(layers)
    count = sum(p.numel() for p in model.parameters())
    print(f"{layers} layers, {count / 1e9:.2f} billion parameters; {_peak()} before the start\n")
    stages = Stages()
    spec, folder = prepare.read(SPEC, in_memory=True)
    planned = driver.plan(Job(spec, folder, Memory(model, (tokens,)), stage=stages))
    stages("")
    for name, seconds in stages.spent.items():
        print(f"{name:>28} {seconds:7.2f} s")
    print(f"{'peak memory':>28} {_peak()}\n")
    for cost in planned.plan.costs:
        print(f"{cost.metric:>28} {cost.dense:,} -> {cost.slim:,}")
    _groups(planned.model.analysis, layers)


class Stages:
    """Seconds by stage, from the driver's own callback."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._name = ""
        self._start = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        if self._name:
            self.spent[self._name] = self.spent.get(self._name, 0.0) + now - self._start
        self._name, self._start = name, time.perf_counter()


def llama(layers: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """Llama 3 8B with so many layers, on the meta device, and an example of its input."""
    register()
    from transformers import LlamaConfig, LlamaForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "use_cache": False,
    }  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **shape))
    return model.eval(), torch.zeros(2, 16, dtype=torch.int64)


def _groups(found: Analysis, layers: int) -> None:
    """Kinds of groups: how many of a width there are, and how many that makes a layer."""
    kinds = Counter((g.kind, g.size) for g in found.groups)
    print(f"\n{'kind of group':>28} {'width':>7} {'groups':>7} {'a layer':>8}")
    for (kind, size), count in sorted(kinds.items()):
        print(f"{kind:>28} {size:>7} {count:>7} {count / layers:>8.2f}")


def _peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


if __name__ == "__main__":
    main()
