"""Published architectures: graph and model agree, at a batch that was not the traced one."""

from __future__ import annotations

import pytest
import torch

import tests.torchvision_ops  # noqa: F401  (torchvision needs it)
from prunec import trace
from tests.trace import interpreter


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 64), ("shufflenet_v2_x0_5", 64), ("swin_t", 64)]
)
def test_torchvision(name, size):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = models.get_model(name, weights=None)
    traced = trace.run(model, (torch.randn(2, 3, size, size),))
    random = ["P0324"] if name == "swin_t" else []  # stochastic depth
    assert [note.code for note in traced.notes] == random
    interpreter.equal(traced, model, torch.randn(3, 3, size, size), tolerance=1e-5)


def test_hugging_face_llama():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = transformers.LlamaForCausalLM(config)
    traced = trace.run(model, (), {"input_ids": torch.randint(0, 64, (2, 12))})
    assert traced.notes == ()
    assert str(traced.graph.inputs[0].type) == "int64[N, T]"
    assert traced.graph.weight["model.embed_tokens.weight"].ties == ("lm_head.weight",)
    assert traced.graph.output.cls == "transformers.modeling_outputs.CausalLMOutputWithPast"
    interpreter.equal(traced, model, input_ids=torch.randint(0, 64, (3, 7)), tolerance=1e-5)


def test_timm_mixes_convolution_and_attention():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("mobilevit_xxs", pretrained=False)
    traced = trace.run(model, (torch.randn(2, 3, 64, 64),))
    interpreter.equal(traced, model, torch.randn(3, 3, 64, 64), tolerance=1e-5)
