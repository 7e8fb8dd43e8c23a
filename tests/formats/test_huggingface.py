"""`emit ... with huggingface`: what transformers loads is the slim model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

import prunec
import tests.torchvision_ops  # noqa: F401  declares operators that torchvision looks for
from prunec import trace
from prunec.check import imports, pretrained
from prunec.diagnostics import PruneError
from prunec.driver import Compiled
from prunec.formats import Slim
from prunec.formats.huggingface import config, modeling, stock

transformers: Any = pytest.importorskip("transformers")

TEXT = {"input_ids": torch.arange(5, 31).reshape(2, 13)}
TEXT["attention_mask"] = torch.ones_like(TEXT["input_ids"])
IMAGES = {"pixel_values": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))}
SIZES = {"hidden_size": 32, "intermediate_size": 64}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = {"vocab_size": 99, "max_position_embeddings": 64}
RANDOM = "prune channels { score random(seed=0) }"
CHECK = "transformers loads the slim model"


def llama(**options: Any) -> nn.Module:
    given = {**SIZES, **TOKENS, "num_key_value_heads": 2, "use_cache": False, "pad_token_id": 0}
    return _built("LlamaForCausalLM", "LlamaConfig", {**given, **options})


def gpt2(**options: Any) -> nn.Module:
    given = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    given |= {"use_cache": False, "bos_token_id": 97, "eos_token_id": 98}
    return _built("GPT2LMHeadModel", "GPT2Config", {**given, **options})


def bert() -> nn.Module:
    return _built("BertForMaskedLM", "BertConfig", {**SIZES, **TOKENS})


def vit() -> nn.Module:
    sizes = {**SIZES, "image_size": 32, "patch_size": 8}
    return _built("ViTForImageClassification", "ViTConfig", sizes)


def _built(model: str, kind: str, options: Mapping[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = getattr(transformers, model)(getattr(transformers, kind)(**options))
    return made.eval()


def _compiled(model: nn.Module, inputs: Mapping[str, Tensor], rules: str, **given: Any) -> Compiled:
    spec = f"{rules}\nrepair none\nemit Slim with huggingface"
    return prunec.compile(spec, model=model, kwargs=inputs, **given)


def _config(compiled: Compiled) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(compiled.files["config.json"])
    return found


def _notes(compiled: Compiled) -> list[str]:
    return [d.message for d in compiled.report.diagnostics if d.code == "P0725"]


def _how(compiled: Compiled) -> str:
    """How the proof loaded the model."""
    return next(c.detail for c in compiled.report.checks if c.name == CHECK)


def test_a_llama_of_even_widths_is_a_llama(tmp_path: Path) -> None:
    rules = f"target macs <= 70%\n{RANDOM}"
    compiled = _compiled(llama(tie_word_embeddings=True), TEXT, rules, out=tmp_path / "out")
    found = _config(compiled)
    state = compiled.module.state_dict()
    assert _how(compiled).startswith("transformers' own LlamaForCausalLM")
    assert not _notes(compiled)
    assert "auto_map" not in found
    assert found["hidden_size"] == state["model.embed_tokens.weight"].shape[1] < 32
    assert found["num_attention_heads"] * 8 == len(state["model.layers.0.self_attn.q_proj.weight"])
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == {
        name for name in state if name != "lm_head.weight"
    }
    assert not (tmp_path / "out" / "modeling_slim.py").exists()


def test_a_llama_of_uneven_widths_brings_its_code(tmp_path: Path) -> None:
    rules = 'target macs <= 80%\nprune channels { in "model.layers.*.mlp*"  score random(seed=0) }'
    compiled = _compiled(llama(), TEXT, rules, out=tmp_path / "out")
    found = _config(compiled)
    source = compiled.files["modeling_slim.py"].decode()
    assert _how(compiled).startswith("AutoModel, trust_remote_code=True")
    assert "LlamaForCausalLM has one intermediate_size, not " in _notes(compiled)[0]
    assert found["auto_map"]["AutoModelForCausalLM"] == "modeling_slim.PretrainedSlim"
    assert found["model_type"] == "slim"
    assert (found["hidden_size"], found["num_key_value_heads"]) == (32, 2)
    assert "intermediate_size" not in found
    assert "return CausalLMOutputWithPast(**super().forward(input_ids, attention_mask))" in source
    assert imports.run(source, "modeling_slim.py") == ()
    buffers = {"model.rotary_emb.inv_freq", "model.rotary_emb.original_inv_freq"}
    weights = set(load(compiled.files["model.safetensors"]))
    assert weights == compiled.module.state_dict().keys() | buffers


def test_an_artefact_of_transformers_is_replaced_by_one_without(tmp_path: Path) -> None:
    rules = f"target macs <= 80%\n{RANDOM}\nrepair none"
    spec = f"{rules}\nemit Slim with huggingface"
    prunec.compile(spec, model=llama(), kwargs=TEXT, out=tmp_path / "out", check=False)
    prunec.compile(rules, model=llama(), kwargs=TEXT, out=tmp_path / "out", check=False)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"slim.py", "slim.safetensors", "slim.lock.json"}


def test_a_narrower_gpt2_keeps_its_tie() -> None:
    compiled = _compiled(gpt2(), TEXT, f"target macs <= 60%\n{RANDOM}")
    source = compiled.files["modeling_slim.py"].decode()
    assert '_tied_weights_keys = {"lm_head.weight": "transformer.wte.weight"}' in source
    assert "lm_head.weight" not in load(compiled.files["model.safetensors"])
    assert _config(compiled)["tie_word_embeddings"] is True
    assert not {"n_embd", "n_head"} & _config(compiled).keys()
    assert _config(compiled)["n_layer"] == 2


def test_a_gpt2_without_a_layer_and_with_fewer_tokens_is_a_gpt2() -> None:
    model = gpt2()
    with torch.no_grad():
        model.get_parameter("transformer.wte.weight")[50:97] *= 0.01
    rules = "target params <= 54%\nprune vocabulary { score l2 }\nprune layers { score l2 }"
    compiled = _compiled(model, TEXT, rules, check=False)
    found, ids = _config(compiled), compiled.removed.renumbered["input_ids"].nonzero()[0].tolist()
    layers = {name.split(".")[2] for name in compiled.module.state_dict() if ".h." in name}
    assert "auto_map" not in found
    assert (found["vocab_size"], found["n_layer"]) == (len(ids), len(layers))
    assert found.get("eos_token_id") == (ids.index(98) if 98 in ids else None)
    names = load(compiled.files["model.safetensors"]).keys()
    left = {name.split(".")[2] for name in names if ".h." in name}
    assert left == {str(i) for i in range(len(layers))}


def test_the_class_is_judged_by_what_it_computes() -> None:
    """Heads of half the width: a Llama, unless attention is scaled as for the old width."""
    wide, narrow = llama(head_dim=8), llama(head_dim=4)
    found = stock.run(_slim(narrow, wide), 1e-4)
    assert isinstance(found, stock.Stock)
    assert found.fields["head_dim"] == 4
    for layer in narrow.modules():
        if hasattr(layer, "scaling"):
            layer.scaling = 8**-0.5
    other = stock.run(_slim(narrow, wide), 1e-4)
    assert isinstance(other, stock.Other)
    assert "something else" in other.why
    assert not {"head_dim", "num_attention_heads"} & other.fields.keys()
    assert other.fields["hidden_size"] == 32


def _slim(model: nn.Module, original: nn.Module) -> Slim:
    traced = trace.run(model, (), TEXT)
    return Slim("Slim", "", model, traced.graph, traced.weights, original, (), TEXT)


@pytest.mark.parametrize(("model", "inputs"), [(bert, TEXT), (vit, IMAGES)])
def test_others_are_loaded_too(model: Any, inputs: Mapping[str, Tensor]) -> None:
    compiled = _compiled(model(), inputs, f"target macs <= 60%\n{RANDOM}")
    assert _how(compiled).startswith("AutoModel")


class Plain(nn.Module):
    """Buffers of all kinds, a tie of weights, a module under two names, a keyword-only input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.body = nn.Conv2d(16, 8, 1)
        self.same = nn.Conv2d(8, 8, 1)
        self.again = self.same
        self.head = nn.Linear(8, 8)
        self.tail = nn.Linear(8, 8, bias=False)
        self.tail.weight = self.head.weight
        self.register_buffer("kept", torch.tensor(2.5))
        self.register_buffer("ids", torch.arange(8), persistent=False)
        self.register_buffer("mixing", torch.randn(8, 8), persistent=False)
        self.scale = torch.tensor([3.0])

    def forward(self, image: Tensor, *, other: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.norm(self.stem(image * self.scale)).relu()
        x = self.again(self.same(self.body(x)).relu()).mean((2, 3))
        x = self.head(x) @ self.mixing * self.kept + self.ids
        return self.tail(x), {"other": x + other}


def test_a_plain_module_with_buffers_of_all_kinds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = {"image": torch.randn(2, 3, 8, 8), "other": torch.randn(2, 8)}
    model = Plain().eval()
    out = tmp_path / "out"
    compiled = _compiled(model, inputs, f"target macs <= 80%\n{RANDOM}", out=out)
    assert _how(compiled).startswith("AutoModel")
    assert _config(compiled)["auto_map"].keys() == {"AutoConfig", "AutoModel"}
    source = compiled.files["modeling_slim.py"].decode()
    assert 'main_input_name = "image"' in source
    assert "def forward" not in source

    graph = trace.run(model, (), inputs).graph
    example = trace.tensors(model, (), inputs)
    weights = load_file(out / "model.safetensors")
    save_file(weights | {"ids": weights["ids"] + 1}, out / "model.safetensors", {"format": "pt"})
    found = pretrained.run(out, graph, compiled.removed, compiled.module, example, tolerance=1e-4)
    assert [d.code for d in found.diagnostics] == ["P0842"]
    weights.pop("mixing")
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    found = pretrained.run(out, graph, compiled.removed, compiled.module, example, tolerance=1e-4)
    assert [d.code for d in found.diagnostics] == ["P0843"]
    assert "mixing" in found.diagnostics[0].notes[-1]


def test_a_chain_in_low_precision_with_a_hostile_tie() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
            self.first = nn.Module()
            self.first.register_parameter("a+b", nn.Parameter(torch.randn(4)))
            self.second = nn.Module()
            self.second.register_parameter("a+b", self.first._parameters["a+b"])

        def forward(self, x: Tensor) -> Tensor:
            made = self.body(x + self.first._parameters["a+b"])
            return made * self.second._parameters["a+b"]

    torch.manual_seed(0)
    model = Odd().to(torch.bfloat16).eval()
    inputs = {"x": torch.randn(2, 4, dtype=torch.bfloat16)}
    compiled = _compiled(model, inputs, f"target macs <= 80%\n{RANDOM}")
    assert _config(compiled)["dtype"] == "bfloat16"
    assert r'{"second\\.a\\+b$": "first\\.a\\+b$"}' in compiled.files["modeling_slim.py"].decode()


def test_names_that_transformers_has_itself() -> None:
    class Taken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = nn.Linear(4, 4)

    with pytest.raises(PruneError, match="P0724"):
        modeling.check_names(Taken())
    modeling.check_names(Plain())


def test_without_transformers_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "prunec.formats.find_spec", lambda name: None if name == "transformers" else find(name)
    )

    class Unbuilt(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the work began")

    with pytest.raises(PruneError, match=r"P0721(.|\n)*prunec\[huggingface\]"):
        _compiled(Unbuilt(), {"x": torch.zeros(1)}, "target macs <= 50%")


def test_nothing_of_the_machine_is_in_a_configuration() -> None:
    class Here(transformers.PreTrainedConfig):  # type: ignore[misc]
        model_type = "here"

    found = Here(teacher="/home/me/teacher", depth=3, inner={"path": "C:\\me", "width": 4})
    found._name_or_path = "/home/me/model"
    fields = config.fields(found)
    assert "me" not in json.dumps(fields).replace("name", "").replace("model", "").split("/")
    assert "teacher" not in fields
    assert (fields["depth"], fields["inner"]) == (3, {"width": 4})


def test_a_model_type_is_none_of_transformers() -> None:
    assert config.model_type("SlimResNet56") == "slim_res_net56"
    assert config.model_type("Llama") == "slim_llama"
