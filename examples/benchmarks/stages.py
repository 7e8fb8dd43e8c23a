"""Where the time of a compile goes: seconds by stage.

    python -m examples.benchmarks.stages [MODEL ...] [--repeats 1]

One line a stage, with its share of the whole; of several compiles the fastest counts. Weights are
random, and so are the channels that go. Needs torchvision, and for ``tiny_llama`` transformers.
"""

from __future__ import annotations

import argparse
import warnings

import torch
from torch import Tensor, nn

from examples.benchmarks.scale import Stages
from examples.benchmarks.torchvision_models import build, register
from prunec import driver, prepare
from prunec.prepare import Job, Memory

MODELS = ("resnet50", "swin_t", "tiny_llama")
SPEC = "target macs <= 60%\nprune channels { score random(seed=0) }\nrepair none\n"


def main() -> None:
    """Print one table a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in options.models:
        runs = [_compile(*_model(name)) for _ in range(options.repeats)]
        spent = min(runs, key=lambda run: sum(run.values()))
        whole = sum(spent.values())
        print(f"{name}: {whole:.2f} s")
        for stage, seconds in spent.items():
            print(f"{stage:>28} {seconds:7.2f} s {seconds / whole:6.1%}")


def _compile(model: nn.Module, example: Tensor) -> dict[str, float]:
    stages = Stages()
    spec, folder = prepare.read(SPEC, in_memory=True)
    driver.compile(Job(spec, folder, Memory(model, (example,)), stage=stages))
    stages("")
    return stages.spent


def _model(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    if name != "tiny_llama":
        return build(name), torch.zeros(2, 3, 224, 224)
    register()
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=99, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), torch.arange(26).reshape(2, 13)


if __name__ == "__main__":
    main()
