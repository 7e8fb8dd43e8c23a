"""transformers 5: tiny configurations, called with keywords as their users call them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

import tests.torchvision_ops  # noqa: F401  declares operators that torchvision looks for
from tests.coverage.zoo.case import BATCH, Built, Case

LENGTH, VOCABULARY, WIDTH, HEADS, LAYERS = 13, 99, 32, 4, 2
Kind = Literal["text", "ids", "seq2seq", "image", "clip", "whisper", "wave"]


@dataclass(frozen=True)
class Tiny:
    """A model class, the arguments of its configuration class, and what it is called with."""

    model: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "text"


TEXT: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
DECODER: Mapping[str, Any] = {**TEXT, "use_cache": False, "pad_token_id": 0}
GROUPED: Mapping[str, Any] = {**DECODER, "num_key_value_heads": 2}
VISION: Mapping[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
COMPACT: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "use_cache": False,
}
TOKENS: Mapping[str, Any] = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}

MODELS: Mapping[str, Tiny] = {
    "bert": Tiny("BertForMaskedLM", "BertConfig", TEXT),
    "roberta": Tiny("RobertaForMaskedLM", "RobertaConfig", TEXT),
    "distilbert": Tiny(
        "DistilBertForMaskedLM",
        "DistilBertConfig",
        {"vocab_size": VOCABULARY, "dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS}
        | {"hidden_dim": 64, "max_position_embeddings": 64},
    ),
    "albert": Tiny("AlbertForMaskedLM", "AlbertConfig", {**TEXT, "embedding_size": 16}),
    "electra": Tiny("ElectraForMaskedLM", "ElectraConfig", {**TEXT, "embedding_size": 16}),
    "deberta_v2": Tiny(
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
        | {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    ),
    "gpt2": Tiny(
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
        | {"n_positions": 64, "use_cache": False},
    ),
    "gpt_neox": Tiny("GPTNeoXForCausalLM", "GPTNeoXConfig", DECODER),
    "opt": Tiny(
        "OPTForCausalLM",
        "OPTConfig",
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
        | {"num_attention_heads": HEADS, "ffn_dim": 64, "max_position_embeddings": 64}
        | {"word_embed_proj_dim": WIDTH, "use_cache": False},
    ),
    "llama": Tiny("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "mistral": Tiny("MistralForCausalLM", "MistralConfig", GROUPED),
    "qwen2": Tiny("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen3": Tiny("Qwen3ForCausalLM", "Qwen3Config", {**GROUPED, "head_dim": 8}),
    "gemma2": Tiny("Gemma2ForCausalLM", "Gemma2Config", {**GROUPED, "head_dim": 8}),
    "phi3": Tiny("Phi3ForCausalLM", "Phi3Config", GROUPED),
    "mixtral": Tiny(
        "MixtralForCausalLM",
        "MixtralConfig",
        {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "bloom": Tiny(
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
        | {"use_cache": False},
    ),
    "falcon": Tiny(
        "FalconForCausalLM",
        "FalconConfig",
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
        | {"num_attention_heads": HEADS, "use_cache": False},
    ),
    "mamba": Tiny(
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
        | {"state_size": 8, "use_cache": False},
        "ids",
    ),
    "t5": Tiny(
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": VOCABULARY, "d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS}
        | {"num_heads": HEADS, "use_cache": False, "decoder_start_token_id": 0},
        "seq2seq",
    ),
    "bart": Tiny("BartForConditionalGeneration", "BartConfig", {**COMPACT, **TOKENS}, "seq2seq"),
    "vit": Tiny("ViTForImageClassification", "ViTConfig", VISION, "image"),
    "swin": Tiny(
        "SwinForImageClassification",
        "SwinConfig",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2]}
        | {"num_heads": [2, 4], "window_size": 4},
        "image",
    ),
    "convnext": Tiny(
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]},
        "image",
    ),
    "segformer": Tiny(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "decoder_hidden_size": 32}
        | {"num_attention_heads": [1, 1, 2, 2]},
        "image",
    ),
    "clip": Tiny(
        "CLIPModel",
        "CLIPConfig",
        {"text_config": {**TEXT, **TOKENS}, "vision_config": VISION, "projection_dim": 24},
        "clip",
    ),
    "whisper": Tiny(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {k: v for k, v in COMPACT.items() if k != "max_position_embeddings"}
        | {"num_mel_bins": 16, "max_source_positions": 30, "max_target_positions": 40}
        | {"decoder_start_token_id": 4, **TOKENS},
        "whisper",
    ),
    "wav2vec2": Tiny(
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        {k: v for k, v in TEXT.items() if k != "max_position_embeddings"}
        | {"conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3)}
        | {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
        "wave",
    ),
}


def _tokens() -> Tensor:
    return torch.randint(5, VOCABULARY, (BATCH, LENGTH))


def _mask() -> Tensor:
    return torch.ones(BATCH, LENGTH, dtype=torch.long)


def _text() -> dict[str, Tensor]:
    return {"input_ids": _tokens(), "attention_mask": _mask()}


def _images() -> Tensor:
    return torch.randn(BATCH, 3, 32, 32)


def _inputs(kind: Kind) -> dict[str, Tensor]:
    """What a model is called with."""
    match kind:
        case "text":
            return _text()
        case "ids":
            return {"input_ids": _tokens()}
        case "seq2seq":
            return {**_text(), "decoder_input_ids": _tokens()}
        case "image":
            return {"pixel_values": _images()}
        case "clip":
            return {**_text(), "pixel_values": _images()}
        case "whisper":
            mel = torch.randn(BATCH, 16, 60)
            return {"input_features": mel, "decoder_input_ids": _tokens()}
        case "wave":
            return {"input_values": torch.randn(BATCH, 800)}


def _build(tiny: Tiny) -> Built:
    import transformers

    config = getattr(transformers, tiny.config)(**tiny.options)
    torch.manual_seed(0)
    model = getattr(transformers, tiny.model)(config).eval()
    return Built(model, (), _inputs(tiny.kind))


CASES = tuple(
    Case("transformers", name, functools.partial(_build, tiny)) for name, tiny in MODELS.items()
)
