"""Whole models: equal results, the same source again, and how long it is.

Most take seconds each and run only with ``PRUNEC_SLOW=1``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from prunec import emit, trace

LINES = {
    "resnet18": 70,
    "shufflenet_v2_x1_0": 130,
    "mobilenet_v3_small": 190,
    "densenet121": 230,
    "inception_v3": 215,
    "vit_b_16": 105,
    "swin_t": 430,
    "convnext_tiny": 125,
    "regnet_y_400mf": 165,
}
"""torchvision models, with an upper bound for the lines of their source."""

QUICK = "resnet18"
slow = pytest.mark.skipif(not os.environ.get("PRUNEC_SLOW"), reason="slow: set PRUNEC_SLOW=1")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == QUICK else slow) for n in LINES])
def test_torchvision(name: str) -> None:
    pytest.importorskip("tests.torchvision_ops")
    models = pytest.importorskip("torchvision").models
    extra = {"init_weights": False} if name == "inception_v3" else {}
    model = getattr(models, name)(weights=None, **extra).eval()
    size = 299 if name == "inception_v3" else 224
    source = check(model, torch.randn(2, 3, size, size), {}, torch.randn(1, 3, size, size))
    assert source.count("\n") <= LINES[name]


@slow
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_transformers(kind: str) -> None:
    pytest.importorskip("tests.torchvision_ops")
    transformers = pytest.importorskip("transformers")
    shape: dict[str, Any] = {"vocab_size": 99, "use_cache": False}
    if kind == "llama":
        shape |= {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        shape |= {"num_attention_heads": 4, "num_key_value_heads": 2}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
    else:
        shape |= {"n_embd": 64, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 1}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape))
    tokens, more = torch.randint(0, 99, (2, 11)), torch.randint(0, 99, (3, 7))
    source = check(model.eval(), None, {"input_ids": tokens}, {"input_ids": more})
    assert source.count("\n") <= 160


def check(model: nn.Module, x: Tensor | None, kwargs: Mapping[str, Any], other: Any) -> str:
    args = () if x is None else (x,)
    found = trace.run(model, args, kwargs)
    source = emit.run(found.graph, class_name="Slim", header="", weights=found.weights)
    emitted = emit.load(source, found.weights, "Slim")
    assert list(emitted.state_dict()) == list(model.state_dict())
    assert "torch.ops" not in source
    for given in ((*args, kwargs), (other,) if x is None else (other, {})):
        with torch.no_grad():
            ours, theirs = (tensors(m(*given[:-1], **given[-1])) for m in (emitted, model))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    again = trace.run(emitted, args, kwargs)
    assert emit.run(again.graph, class_name="Slim", header="", weights=again.weights) == source
    return source


def tensors(result: Any) -> list[Tensor]:
    result = dict(result) if hasattr(result, "keys") else result
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]
