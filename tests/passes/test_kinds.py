"""Kinds: what attention, groups and residual streams are found to be, and what they are not."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import pytest
import torch
from torch import Tensor, nn

from prunec import trace
from prunec.ir.axis import atoms
from prunec.ir.graph import Graph, Ref
from prunec.ir.group import Axes
from prunec.passes import axes, group, kinds
from tests.properties.networks import Recipe
from tests.structures import IMAGE, TOKENS, Attention, Grouped, Latents, ResNet, Transformer


def found(module: nn.Module, x: Tensor) -> dict[str, str]:
    """Group -> kind."""
    graph = trace.run(module.eval(), (x,)).graph
    return {g.name: g.kind for g in group.run(graph, axes.run(graph))}


# --- Streams -------------------------------------------------------------------------------------


class Shortcut(nn.Module):
    """The sum of two branches, neither of which is computed from the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(7, 10)
        self.left, self.right = nn.Linear(10, 16), nn.Linear(10, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head((self.left(x) + self.right(x)).relu())


class Polynomial(nn.Module):
    """GELU written out: x + 0.04 x^3 adds to x what is computed from x, but makes no channel."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Linear(7, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        return self.head(x * torch.tanh(x + 0.04 * x.pow(3)))


class Transposed(nn.Module):
    """A branch whose weights are transposed matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(7, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x.unsqueeze(1).squeeze(1) + x.relu() @ self.inner.weight.T)


def test_what_is_no_stream() -> None:
    assert found(Shortcut(), TOKENS) == {"stem": "channels", "{left,right}": "channels"}
    assert found(Polynomial(), TOKENS) == {"up": "channels"}


def test_a_transposed_matrix_makes_channels() -> None:
    assert found(Transposed(), TOKENS) == {"{stem,inner}": "hidden"}


def test_a_stage_is_a_stream_by_its_second_block() -> None:
    assert found(ResNet(), IMAGE) == {
        "layer1 residual": "hidden",
        "layer1.0.conv1": "channels",
        "layer1.1.conv1": "channels",
        "layer2.0.conv1": "channels",
        "layer2 residual": "hidden",
        "layer2.1.conv1": "channels",
    }


NETWORKS = (
    Recipe("images", 8, (("residual", 1), ("option_a", 0), ("residual", 2))),
    Recipe("images", 4, (("dense", 0), ("gate", 1), ("residual", 0))),
    Recipe("images", 8, (("group_norm", 0), ("residual", 3), ("tied", 0))),
    Recipe("images", 8, (("branches", 0), ("shuffle", 0), ("grouped", 1))),
    Recipe("tokens", 8, (("attention", 0), ("mlp", 1), ("attention", 3))),
    Recipe("tokens", 8, (("attention", 2), ("mix", 1), ("mlp", 2))),
)


@pytest.mark.parametrize("recipe", NETWORKS, ids=lambda r: "-".join(s for s, _ in r.stages))
def test_streams_by_brute_force(recipe: Recipe) -> None:
    module, example = recipe.build()
    graph = trace.run(module, example).graph
    solved = axes.run(graph)
    wanted = set(_streams(graph, solved))
    assert {a for a, k in kinds.run(graph, solved).items() if k == "hidden"} <= wanted
    got = kinds.run(graph, solved)
    assert all(got[a] in kinds.OUTRANKS[: kinds.OUTRANKS.index("channels")] for a in wanted)


def _streams(graph: Graph, solved: Axes) -> Iterator[int]:
    """For every addition and every way from one operand to the other: is a channel made again?"""
    flow = nx.DiGraph((ref.name, n.name) for n in graph.nodes for ref in n.refs())
    for node in graph.nodes:
        if node.op != "aten.add.Tensor" or not all(isinstance(a, Ref) for a in node.args[:2]):
            continue
        names = [a.name for a in node.args[:2]]  # type: ignore[union-attr]
        for x, branch in (names, names[::-1]):
            between = nx.descendants(flow, x) & (nx.ancestors(flow, branch) | {branch})
            made = {a for n in between for a in _made(graph, solved, n)}
            here = {a.id for axis in solved.values[x] or () for a in atoms(axis)}  # type: ignore[arg-type, union-attr]
            if made & here:
                yield from here - {*solved.frozen}


def _made(graph: Graph, solved: Axes, name: str) -> Iterator[int]:
    for ref in graph.node[name].weight_refs():
        for dim, axis in enumerate(solved.weights[ref.name]):
            if solved.roles.get((ref.name, dim)) == "produce":
                yield from (a.id for a in atoms(axis) if a.id not in solved.frozen)


# --- Attention and groups ------------------------------------------------------------------------


def test_latents_are_no_channels_of_a_head() -> None:
    by_kind = found(Latents(), TOKENS)
    assert {k for g, k in by_kind.items() if "kv" in g or g.startswith("q")} == {
        "heads",
        "head_dim",
    }
    graph = trace.run(Latents().eval(), (TOKENS,)).graph
    (latents,) = (
        g
        for g in group.run(graph, axes.run(graph))
        if ("latents", 0) in {(p.weight, p.dim) for p in g.places}
    )
    assert latents.kind == "channels"


def test_a_depthwise_convolution_has_channels() -> None:
    assert found(Grouped(), IMAGE) == {
        "{stem,grouped} groups": "groups",
        "stem": "channels",
        "grouped": "channels",
        "mix": "channels",
    }


def test_one_head_is_no_heads() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(7, 8) for _ in range(3))
            self.head = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            scores = self.q(x) @ self.k(x).transpose(1, 2)
            return self.head(scores.softmax(-1) @ self.v(x))

    assert found(Single(), TOKENS) == {"{q,k}": "channels", "v": "channels"}


def test_layers_of_multi_head_attention_have_heads_of_their_own() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(7, 16)
            self.layers = nn.ModuleList(nn.MultiheadAttention(16, 4) for _ in range(2))
            self.head = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).transpose(0, 1)
            for layer in self.layers:
                x = x + layer(x, x, x, need_weights=False)[0]
            return self.head(x)

    by_kind = found(Layers(), TOKENS)
    assert [g for g, k in by_kind.items() if k == "heads"] == ["layers.0 heads", "layers.1 heads"]


@pytest.mark.parametrize("repeat", ["expand", "interleave", "outer", "sdpa"])
def test_shared_heads_are_those_of_keys_and_values(repeat: str) -> None:
    by_kind = found(Transformer(Attention(6, 2, repeat=repeat)), TOKENS)
    assert by_kind == {
        "layers residual": "hidden",
        "layers.0.attention.{q,k,v} kv_heads": "kv_heads",
        "layers.0.attention.q heads": "heads",
        "layers.0.attention.{q,k} head_dim": "head_dim",
        "layers.0.attention.v head_dim": "head_dim",
        "layers.0.up": "channels",
    }


# --- Models that people use ----------------------------------------------------------------------

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
LLAMA = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2}
GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 16}
CASES = {
    "llama": ("Llama", LLAMA, {"hidden", "heads", "kv_heads", "head_dim", "channels"}),
    "falcon": ("Falcon", SMALL, {"hidden", "heads", "head_dim", "channels"}),
    "gpt2": ("GPT2", GPT2, {"hidden", "heads", "head_dim", "channels"}),
}


@pytest.mark.parametrize("case", CASES)
def test_language_models(case: str) -> None:
    pytest.importorskip("tests.torchvision_ops")
    transformers = pytest.importorskip("transformers")
    name, settings, wanted = CASES[case]
    end = next(n for n in (f"{name}ForCausalLM", f"{name}LMHeadModel") if hasattr(transformers, n))
    config = getattr(transformers, f"{name}Config")(**settings, bos_token_id=1, eos_token_id=2)
    model = getattr(transformers, end)(config).eval()
    graph = trace.run(model, (torch.randint(64, (2, 7)),), {"use_cache": False}).graph
    by_kind = group.run(graph, axes.run(graph))
    assert {g.kind for g in by_kind} == wanted
    assert len([g for g in by_kind if g.kind == "hidden"]) == 1
