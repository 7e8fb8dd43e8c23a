"""Slim models under torch.compile, torch.export and ONNX, against themselves run as they are.

    python -m examples.benchmarks.parity [MODEL ...] [--macs 60] [--backend inductor]

Ten models of different families, small and at random widths. Every slim module is compiled,
exported with a dynamic batch, and converted by torch.onnx (dynamo) for onnxruntime, each with an
example of two samples; what is printed is the largest error on three others, relative to the
largest value. Needs torchvision and transformers; ONNX needs onnx, onnxscript and onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import prunec
from examples.benchmarks.torchvision_models import register

Inputs = Mapping[str, Tensor]
"""What a model is called with, by parameter."""

Result = list[Tensor]


def main() -> None:
    """Print one line a model; exit 1 where anything fails or differs by more than 1e-3."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=tuple(MODELS), metavar="MODEL")
    parser.add_argument("--macs", type=int, default=60, help="per cent of the MACs to stay under")
    usual = "inductor" if shutil.which("g++") else "aot_eager"
    parser.add_argument("--backend", default=usual, help="of torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    register()
    ways = WAYS if _has_onnx() else {k: v for k, v in WAYS.items() if k != "onnxruntime"}
    print(f"torch.compile by {options.backend}" + ("" if _has_onnx() else "; no ONNX here"))
    print(f"{'model':>12} {'MACs':>6} " + " ".join(f"{way:>14}" for way in ways))
    failed = [n for n in options.models if not _line(n, options.macs, options.backend, ways)]
    raise SystemExit(f"not equal: {', '.join(failed)}" if failed else 0)


def _has_onnx() -> bool:
    return all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime")))


def _line(name: str, share: int, backend: str, ways: Mapping[str, Way]) -> bool:
    torch.manual_seed(0)
    model, example = MODELS[name]()
    spec = f"target macs <= {share}%\nprune channels {{ score random(seed=0) }}\nrepair none\n"
    found = prunec.compile(spec, model=model.eval(), kwargs=example(2), check=False)
    macs = found.plan.costs[0]
    print(f"{name:>12} {macs.slim / macs.dense:>6.1%} ", end="", flush=True)
    equal = True
    problems = []
    for way, run in ways.items():
        try:
            shown = error(found.module, example, run, backend)
            equal = equal and shown <= 1e-3
            print(f"{shown:>14.1e} ", end="", flush=True)
        except Exception as problem:  # compilers raise what they like
            equal = False
            print(f"{'fails':>14} ", end="", flush=True)
            problems.append(f"{way}: {type(problem).__name__}: {str(problem).splitlines()[0]}")
    print("", *problems, sep="\n" + " " * 13 if problems else "")
    return equal


def error(module: nn.Module, example: Example, run: Way, backend: str = "aot_eager") -> float:
    """The largest error at three samples, relative to each result's largest value."""
    other = example(3)
    with torch.no_grad():
        expected = tensors(module(**other))
        found = run(module, example(2), backend)(other)
    if [t.shape for t in found] != [t.shape for t in expected]:
        raise ValueError("the results have other shapes")
    return max(
        ((f - e).abs().max() / e.abs().max()).item() for f, e in zip(found, expected, strict=True)
    )


def tensors(result: Any) -> Result:
    """Every tensor of a result."""
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]


def compiled(module: nn.Module, example: Inputs, backend: str) -> Callable[[Inputs], Result]:
    torch._dynamo.reset()
    made = torch.compile(module, backend=backend)
    made(**example)
    return lambda given: tensors(made(**given))


def exported(module: nn.Module, example: Inputs, backend: str) -> Callable[[Inputs], Result]:
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in example}
    made = torch.export.export(module, (), dict(example), dynamic_shapes=shapes).module()
    return lambda given: tensors(made(**given))


def converted(module: nn.Module, example: Inputs, backend: str) -> Callable[[Inputs], Result]:
    import onnxruntime

    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in example}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "slim.onnx")
        torch.onnx.export(
            module,
            (),
            file,
            kwargs=dict(example),
            dynamo=True,
            dynamic_shapes=shapes,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return lambda given: [
        torch.from_numpy(value) for value in session.run(None, {n: given[n].numpy() for n in names})
    ]


Way = Callable[[nn.Module, Inputs, str], Callable[[Inputs], Result]]
Example = Callable[[int], dict[str, Tensor]]
WAYS: Mapping[str, Way] = {
    "torch.compile": compiled,
    "torch.export": exported,
    "onnxruntime": converted,
}


def _vision(model: nn.Module, size: int) -> Built:
    return model, lambda count: {"x": torch.randn(count, 3, size, size)}


def _text(model: nn.Module, *names: str) -> Built:
    return model, lambda count: {name: torch.randint(2, 99, (count, 9)) for name in names}


Built = tuple[nn.Module, Example]


def _resnet() -> Built:
    from torchvision.models import resnet18

    return _vision(resnet18(num_classes=10), 64)


def _mobilenet() -> Built:
    from torchvision.models import mobilenet_v3_small

    return _vision(mobilenet_v3_small(num_classes=10), 64)


def _densenet() -> Built:
    from torchvision.models import DenseNet

    return _vision(DenseNet(12, (3, 3, 3), 16, num_classes=10), 64)


def _convnext() -> Built:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    blocks = [CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)]
    return _vision(ConvNeXt(blocks, num_classes=10), 64)


def _vit() -> Built:
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, 8, 2, 4, 48, 96, num_classes=10)
    nn.init.normal_(model.heads[-1].weight)  # torchvision starts at zero
    return _vision(model, 32)


def _swin() -> Built:
    from torchvision.models import SwinTransformer

    depths: dict[str, Any] = {"depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    return _vision(SwinTransformer([2, 2], 24, num_classes=10, **depths), 32)


def _llama() -> Built:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=99,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_cache=False,
    )
    return _text(LlamaForCausalLM(config), "input_ids")


def _gpt2() -> Built:
    from transformers import GPT2Config, GPT2LMHeadModel

    ends = {"bos_token_id": 1, "eos_token_id": 1}
    config = GPT2Config(vocab_size=99, n_embd=48, n_layer=2, n_head=4, use_cache=False, **ends)
    return _text(GPT2LMHeadModel(config), "input_ids")


def _bert() -> Built:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=99,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    return _text(BertModel(config), "input_ids")


def _t5() -> Built:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=99, d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4, use_cache=False
    )
    return _text(T5ForConditionalGeneration(config), "input_ids", "decoder_input_ids")


MODELS: Mapping[str, Callable[[], Built]] = {
    "resnet": _resnet,
    "mobilenet": _mobilenet,
    "densenet": _densenet,
    "convnext": _convnext,
    "vit": _vit,
    "swin": _swin,
    "llama": _llama,
    "gpt2": _gpt2,
    "bert": _bert,
    "t5": _t5,
}

if __name__ == "__main__":
    main()
