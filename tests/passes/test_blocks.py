"""Residual blocks: which are found, what goes with them, and whole compiles that remove them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import prunec
from prunec.diagnostics import PruneError
from prunec.driver import Compiled
from prunec.ir.group import Group
from tests.passes.residual import Basic, Mlp, Parallel, PostNorm, ResNet, Transformer, spread

TOKENS = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
FLAT = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def found(module: nn.Module, *args: Tensor) -> dict[str, Group]:
    return {g.name: g for g in prunec.analyze(module.eval(), args=args).blocks}


def compiled(module: nn.Module, x: Tensor, spec: str, **given: Any) -> Compiled:
    """A compile, which proves its output; its costs must be those of the slim module."""
    made = prunec.compile(spec, model=spread(module), args=(x,), **given)
    assert made.report.passed
    costs = {c.metric: c.slim for c in made.report.costs if c.scope is None}
    assert sum(p.numel() for p in made.module.parameters()) == costs["params"]
    with torch.no_grad(), FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        made.module(x[:1])
    assert counted.get_total_flops() == 2 * costs["macs"]
    return made


def gone(made: Compiled) -> set[str]:
    return {name for name, kept in made.plan.keep.items() if kept == ()}


def keys(module: nn.Module) -> set[str]:
    return set(module.state_dict())


# --- Which are found -----------------------------------------------------------------------------


def test_both_branches_of_a_pre_norm_layer_with_all_that_is_theirs() -> None:
    blocks = found(Transformer(depth=2), TOKENS)
    assert list(blocks) == [
        "layers.0.attn block",
        "layers.0.mlp block",
        "layers.1.attn block",
        "layers.1.mlp block",
    ]
    (branch,) = blocks["layers.0.mlp block"].branches
    assert {*branch.weights} == {
        "layers.0.norm2.weight",
        "layers.0.norm2.bias",
        "layers.0.mlp.fc1.weight",
        "layers.0.mlp.fc1.bias",
        "layers.0.mlp.fc2.weight",
        "layers.0.mlp.fc2.bias",
        "layers.0.gamma",
    }


def test_stride_one_blocks_of_a_resnet_and_no_other() -> None:
    blocks = found(ResNet(), IMAGES)
    assert list(blocks) == [
        "layer1.0 block",
        "layer1.1 block",
        "layer1.2 block",
        "layer2.1 block",
    ]
    (branch,) = blocks["layer2.1 block"].branches
    assert "layer2.1.bn1.num_batches_tracked" in branch.weights


def test_branches_in_parallel_keep_the_norm_that_they_share() -> None:
    blocks = found(Parallel(depth=1), FLAT)
    assert list(blocks) == ["a.0 block", "b.0 block"]
    weights = {w for g in blocks.values() for b in g.branches for w in b.weights}
    assert not any(w.startswith("norms") for w in weights)


def test_post_norm() -> None:
    assert list(found(PostNorm(depth=2), FLAT)) == ["mlps.0 block", "mlps.1 block"]


class Odd(nn.Module):
    """One addition that is no residual branch, chosen by ``kind``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.wide = nn.Linear(4, 1)
        self.table = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.a(x))
        y = self.b(x)
        match self.kind:
            case "siblings":
                return F.relu(y + self.a(x))
            case "scaled":
                return F.relu(torch.add(x, y, alpha=2))
            case "broadcast":
                return F.relu(x + self.wide(x))
            case "no weight":
                return F.relu(x + x.sin())
            case "read twice":
                return F.relu(x + y) * y
            case "returned":
                return F.relu(x + y), y
            case "of the sizes alone":
                return F.relu(x + torch.zeros_like(x) @ self.table)
            case _:  # the stream comes from a parameter, the input through the branch
                return F.relu(self.table + self.table @ self.b.weight @ x[:4].mT @ x[:4])


@pytest.mark.parametrize(
    "kind",
    [
        "siblings",
        "scaled",
        "broadcast",
        "no weight",
        "read twice",
        "returned",
        "of the sizes alone",
        "from a parameter",
    ],
)
def test_no_block(kind: str) -> None:
    assert found(Odd(kind), torch.randn(6, 4)) == {}


class Nested(nn.Module):
    """x + outer(h + inner(h)), and a branch that several calls share."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 6)
        self.inner, self.shared = Mlp(6), Mlp(6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        h = torch.sigmoid(self.last(x))
        x = x + torch.tanh(h + self.inner(h))
        x = x + self.shared(x)
        x = x + self.shared(torch.sin(x))
        return self.head(x)  # type: ignore[no-any-return]


def test_a_block_in_a_block_and_shared_weights() -> None:
    blocks = found(Nested(), FLAT)
    assert list(blocks) == ["inner block", "model block", "shared block", "shared block #2"]
    inner, outer, shared, _ = (b for g in blocks.values() for b in g.branches)
    assert {*inner.exclusive} < {*outer.exclusive}
    assert shared.weights == ()


# --- Whole compiles ------------------------------------------------------------------------------

ALL = "target {metric} <= {share}%\nprune blocks {{ {inside}score {score} }}\nrepair none\n"


def spec(metric: str, share: int, score: str = "l2", inside: str = "") -> str:
    return ALL.format(metric=metric, share=share, score=score, inside=inside)


def test_mlps_of_a_transformer_go_and_its_layers_lose_a_part() -> None:
    module = Transformer()
    made = compiled(module, TOKENS, spec("params", 60, inside='in "layers.*.mlp" '))
    assert gone(made) == {f"layers.{k}.mlp block" for k in range(3)}
    lost = keys(module) - keys(made.module)
    assert lost == {k for k in keys(module) if re.search(r"mlp|norm2|gamma", k)}
    assert "self.mlp" not in made.source
    assert "for layer in self.layers:" in made.source


def test_a_layer_without_branches_is_an_identity_in_its_place() -> None:
    made = compiled(ResNet(), IMAGES, spec("macs", 60, inside='in "layer1.0", "layer1.2" '))
    assert gone(made) == {"layer1.0 block", "layer1.2 block"}
    assert keys(made.module) < keys(ResNet())
    # The ReLU behind the sum stays; the block is what its module still does.
    assert "layer1.0.conv1.weight" not in keys(made.module)
    assert "layer1.1.conv1.weight" in keys(made.module)


class Plain(nn.Module):
    """A stack of pre-norm MLPs in a list or a Sequential."""

    def __init__(self, stack: type[nn.Sequential] | type[nn.ModuleList]) -> None:
        super().__init__()
        rows = [Row() for _ in range(4)]
        self.embed = nn.Linear(3, 6)
        self.rows = nn.Sequential(*rows) if stack is nn.Sequential else nn.ModuleList(rows)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        if isinstance(self.rows, nn.Sequential):
            return self.head(self.rows(x))  # type: ignore[no-any-return]
        for row in self.rows:
            x = row(x)
        return self.head(x)  # type: ignore[no-any-return]


class Row(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(6), Mlp(6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("stack", [nn.Sequential, nn.ModuleList])
def test_members_that_are_gone_keep_the_numbers_of_the_others(stack: Any) -> None:
    inside = 'in "rows.0", "rows.2" '
    made = compiled(Plain(stack), FLAT, spec("params", 60, inside=inside))
    assert "nn.Identity(), Row(), nn.Identity(), Row()" in made.source
    assert ("for row in self.rows" in made.source) is (stack is nn.ModuleList)


@pytest.mark.parametrize("module", [Parallel, PostNorm, Nested])
@pytest.mark.parametrize("seed", range(3))
def test_random_blocks_and_channels_together(module: type[nn.Module], seed: int) -> None:
    text = spec("params", 55, f"random(seed={seed})")
    made = compiled(module(), FLAT, f"prune channels {{ score random(seed={seed}) }}\n{text}")
    assert made.plan.keep


def test_blocks_and_channels_of_a_resnet_together() -> None:
    text = spec("macs", 35, "taylor", 'in "layer1" ')
    data = [(torch.randn(4, 3, 8, 8), torch.randint(5, (4,))) for _ in range(2)]
    text += 'prune channels { in "layer*.*.conv1" score taylor keep >= 6 }\n'
    made = compiled(ResNet(), IMAGES, text, calibrate=data)
    assert gone(made)
    assert any(kept for kept in made.plan.keep.values())
    assert "removed" in str(made.report)


def test_all_blocks_may_go() -> None:
    module = Transformer(depth=2)
    made = compiled(module, TOKENS, spec("params", 13))
    assert len(gone(made)) == 4
    assert keys(made.module) == {
        "embed.weight",
        "embed.bias",
        "position",
        "head.weight",
        "head.bias",
    }


@pytest.mark.parametrize("repair", ["least_squares", "least_squares, batchnorm"])
def test_repair_makes_up_for_blocks_that_are_gone(repair: str) -> None:
    module, x = ResNet(), IMAGES
    data = [torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(k)) for k in (1, 2)]
    text = spec("macs", 80, inside='in "layer1.0" ')
    bare = compiled(module, x, text)
    repaired = compiled(module, x, text.replace("none", repair), calibrate=data)

    def off(made: Compiled) -> float:
        with torch.no_grad():
            return float((made.module(data[0]) - module(data[0])).square().sum())

    assert off(repaired) < off(bare)


def test_batch_norms_behind_a_block_that_is_gone_are_estimated_anew() -> None:
    text = spec("macs", 80, inside='in "layer1.0" ').replace("none", "batchnorm")
    compiled(ResNet(), IMAGES, text, calibrate=[IMAGES])


def test_a_scope_of_blocks_alone_may_cost_nothing() -> None:
    text = 'target params <= 0.1% in "layers.1"\n'
    text += 'prune blocks { in "layers.1" score l2 }\nrepair none\n'
    made = compiled(Transformer(depth=2), TOKENS, text)
    assert [(c.slim, c.bound) for c in made.report.costs if c.scope] == [(0, 0)]


def test_a_frozen_part_keeps_its_block() -> None:
    text = 'freeze "layer1.0.conv2"\n' + spec("params", 90, inside='in "layer1" ')
    made = prunec.plan(text, model=spread(ResNet()), args=(IMAGES,))
    assert "layer1.0 block" not in made.keep


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('target macs <= 50%\nprune blocks { in "layer2.0" score l2 }', "P0502"),
        ("target macs <= 50%\nprune blocks { keep >= 25% score l2 }", "P0210"),
        ("target macs <= 1%\nprune blocks { score l2 }", "P0601"),
        ('target macs <= 50%\nprune blocks { score torch_pruning("L") }', "P0206"),
        ("target macs <= 50%\nprune blocks { score torch_pruning }", "P0410"),
    ],
)
def test_faults(text: str, code: str) -> None:
    with pytest.raises(PruneError) as caught:
        prunec.plan(text + "\nrepair none\n", model=spread(ResNet()), args=(IMAGES,))
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_basic_block_alone() -> None:
    """The whole model is one block: its output is then the ReLU of its input."""
    module = spread(Basic(4, 4, 1))
    x = torch.randn(2, 4, 5, 5)
    made = compiled(module, x, spec("params", 50))
    assert torch.equal(made.module(x), F.relu(x))
