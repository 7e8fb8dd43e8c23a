"""Repeated layers: which are found, what goes with them, and whole compiles that remove them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prunec
from prunec.diagnostics import PruneError
from prunec.ir.group import Group
from tests.passes.residual import Layer, Mlp, PostNorm, ResNet, Transformer, spread
from tests.passes.test_blocks import FLAT, IMAGES, TOKENS, Plain, compiled, gone, keys


def found(module: nn.Module, *args: Tensor) -> dict[str, Group]:
    return {g.name: g for g in prunec.analyze(module.eval(), args=args).layers}


class Stack(nn.Module):
    """Members of a list one after another, float[N, 3] -> float[N, 2]."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, 6), nn.Linear(6, 2)
        self.rows = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for row in self.rows:
            x = row(x)
        return self.head(x)  # type: ignore[no-any-return]


class Row(nn.Module):
    """One layer, by ``kind``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.norm, self.a, self.b = nn.LayerNorm(6), Mlp(6), Mlp(6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        match self.kind:
            case "parallel":
                return x + self.a(y) + self.b(y)  # type: ignore[no-any-return]
            case "sum first":
                return x + (self.a(y) + self.b(y))  # type: ignore[no-any-return]
            case "post-norm":
                return self.norm(x + self.a(x))  # type: ignore[no-any-return]
            case "scaled stream":
                return 2 * x + self.a(y)  # type: ignore[no-any-return]
            case "no residual":
                return self.a(x)  # type: ignore[no-any-return]
            case _:  # an activation that is no ReLU
                return torch.tanh(x + self.a(y))


class Cell(nn.Module):
    """ConvNeXt's: one branch, with a scale, channels last inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.mlp = nn.LayerNorm(width), Mlp(width)
        self.gamma = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.mlp(y)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class ConvNext(nn.Module):
    """float[N, 3, 8, 8] -> float[N, 5]: two stages, a downsampling between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, 2)
        self.stages = nn.Sequential(
            nn.Sequential(Cell(4), Cell(4)),
            nn.Sequential(nn.Conv2d(4, 8, 2, 2), Cell(8), Cell(8)),
        )
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


# --- Which are found -----------------------------------------------------------------------------


def test_a_pre_norm_layer_has_two_branches_and_all_its_weights() -> None:
    layers = found(Transformer(depth=2), TOKENS)
    assert list(layers) == ["layers.0 layer", "layers.1 layer"]
    group = layers["layers.1 layer"]
    assert group.producers == ("layers.1",)
    assert len(group.branches) == 2
    weights = [w for b in group.branches for w in b.weights]
    assert sorted(weights) == sorted(f"layers.1.{k}" for k in keys(Layer(8)))


def test_atoms_are_no_one_elses() -> None:
    analysis = prunec.analyze(Transformer(depth=2), args=(TOKENS,))
    ids = [g.atom.id for g in (*analysis.groups, *analysis.blocks, *analysis.layers)]
    assert len({*ids}) == len(ids)


def test_cells_of_a_convnext_one_branch_each_and_no_stage() -> None:
    layers = found(ConvNext(), IMAGES)
    names = ["stages.0.0", "stages.0.1", "stages.1.1", "stages.1.2"]
    assert list(layers) == [f"{name} layer" for name in names]
    assert all(len(g.branches) == 1 for g in layers.values())


def test_stride_one_blocks_of_a_resnet() -> None:
    names = ["layer1.0", "layer1.1", "layer1.2", "layer2.1"]
    assert list(found(ResNet(), IMAGES)) == [f"{name} layer" for name in names]


@pytest.mark.parametrize("stack", [nn.Sequential, nn.ModuleList])
def test_members_of_either_list(stack: type[nn.Sequential] | type[nn.ModuleList]) -> None:
    assert list(found(Plain(stack), FLAT)) == [f"rows.{k} layer" for k in range(4)]


def test_post_norm_is_no_layer() -> None:
    assert found(PostNorm(depth=2), FLAT) == {}


@pytest.mark.parametrize("kind", ["post-norm", "scaled stream", "no residual", "tanh"])
def test_no_layer(kind: str) -> None:
    assert found(Stack(Row(kind), Row(kind)), FLAT) == {}


def test_a_lone_member_and_one_that_is_called_twice_are_no_layers() -> None:
    assert found(Stack(Row("parallel"), nn.Linear(6, 6)), FLAT) == {}
    twice = Row("parallel")
    assert list(found(Stack(twice, Row("parallel"), twice), FLAT)) == ["rows.1 layer"]


@pytest.mark.parametrize("kind", ["parallel", "sum first"])
def test_branches_in_parallel_take_their_norm_along(kind: str) -> None:
    layers = found(Stack(Row(kind), Row(kind)), FLAT)
    weights = [w for b in layers["rows.0 layer"].branches for w in b.weights]
    assert sorted(weights) == sorted(f"rows.0.{k}" for k in keys(Row(kind)))


def test_the_analysis_lists_them() -> None:
    analysis = prunec.analyze(Transformer(depth=2), args=(TOKENS,))
    data = analysis.as_dict()["layers"]
    assert isinstance(data, list)
    assert [row["module"] for row in data] == ["layers.0", "layers.1"]
    assert len(data[0]["sums"]) == 2
    assert "layers.1 layer" in str(analysis)


# --- Whole compiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["macs", "params"])
@pytest.mark.parametrize("score", ["random(seed=0)", "l2", "l1"])
def test_layers_of_a_transformer_go(metric: str, score: str) -> None:
    module = Transformer()
    text = f"target {metric} <= 70%\nprune layers {{ score {score} }}\nrepair none\n"
    made = compiled(module, TOKENS, text)
    (name,) = gone(made)
    path = name.removesuffix(" layer")
    assert keys(module) - keys(made.module) == {k for k in keys(module) if k.startswith(path)}
    assert made.source.count("nn.Identity()") == 1


def test_exact_costs_of_a_target() -> None:
    text = "target macs <= 60%\nprune layers { score random(seed=0) }\nrepair none\n"
    made = compiled(Transformer(), TOKENS, text)
    assert len(gone(made)) == 2
    costs = {c.metric: (c.dense, c.slim) for c in made.report.costs}
    embed, head = 5 * 4 * 8, 8 * 3
    layer = (costs["macs"][0] - embed - head) // 3
    assert costs["macs"][1] == embed + head + layer


@pytest.mark.parametrize("kind", ["parallel", "sum first"])
@pytest.mark.parametrize("metric", ["macs", "params"])
def test_parallel_branches_go_with_their_norm(kind: str, metric: str) -> None:
    text = f"target {metric} <= 70%\nprune layers {{ score l2 }}\nrepair none\n"
    made = compiled(Stack(*(Row(kind) for _ in range(3))), FLAT, text)
    (name,) = gone(made)
    assert not any(k.startswith(name.removesuffix("layer").strip()) for k in keys(made.module))


def test_all_layers_may_go() -> None:
    text = "target params <= 13%\nprune layers { score l2 }\nrepair none\n"
    made = compiled(Transformer(depth=2), TOKENS, text)
    assert len(gone(made)) == 2


@pytest.mark.parametrize("seed", range(3))
def test_layers_and_channels_together(seed: int) -> None:
    text = f"""target macs <= 45%
prune channels {{ keep >= 75% score random(seed={seed}) }}
prune layers {{ in "layers.1" score random(seed={seed}) }}
repair none
"""
    made = compiled(Transformer(), TOKENS, text)
    assert gone(made) == {"layers.1 layer"}
    assert any(made.plan.keep.values())


def test_layers_of_a_resnet_and_channels_by_taylor() -> None:
    data = [(torch.randn(4, 3, 8, 8), torch.randint(5, (4,))) for _ in range(2)]
    text = """target macs <= 35%
prune layers { in "layer1.*" score taylor }
prune channels { in "layer*.*.conv1" score taylor keep >= 6 }
repair none
"""
    made = compiled(ResNet(), IMAGES, text, calibrate=data)
    assert gone(made) <= {f"layer1.{k} layer" for k in range(3)}
    assert gone(made)


@pytest.mark.parametrize("seed", range(4))
def test_a_branch_goes_with_its_block_or_its_layer(seed: int) -> None:
    text = f"""target params <= 50%
prune blocks {{ score random(seed={seed}) }}
prune layers {{ score random(seed={seed + 9}) }}
repair none
"""
    assert gone(compiled(Transformer(), TOKENS, text))


def test_a_block_and_the_layer_around_it_may_both_go() -> None:
    text = """target params <= 13%
prune blocks { in "layers.0.mlp" score l2 }
prune layers { score l2 }
repair none
"""
    made = compiled(Transformer(depth=2), TOKENS, text)
    assert {"layers.0 layer", "layers.1 layer"} <= gone(made)


def test_obs_measures_a_layer_by_what_the_output_loses() -> None:
    module = spread(Stack(*(Row("parallel") for _ in range(3))))
    text = "target params <= 75%\nprune layers { score obs }\nrepair none\n"
    made = prunec.plan(text, model=module, args=(FLAT,), calibrate=[FLAT])
    rows = [module.get_submodule(f"rows.{k}") for k in range(3)]

    def loss(without: int) -> float:
        x = whole = module.embed(FLAT)  # type: ignore[operator]
        for k, row in enumerate(rows):
            x, whole = x if k == without else row(x), row(whole)
        return float(F.mse_loss(module.head(x), module.head(whole)))  # type: ignore[operator]

    with torch.no_grad():
        least = min(range(3), key=loss)
    assert [name for name, kept in made.keep.items() if kept == ()] == [f"rows.{least} layer"]


@pytest.mark.parametrize("inside", ["layers.0.attn", "layers.0.attn.proj", "layers.0.norm2"])
def test_a_frozen_part_keeps_its_layer(inside: str) -> None:
    text = f'freeze "{inside}"\ntarget params <= 50%\nprune layers {{ score l2 }}\nrepair none\n'
    made = prunec.plan(text, model=spread(Transformer()), args=(TOKENS,))
    assert {n for n, kept in made.keep.items() if kept == ()} == {
        "layers.1 layer",
        "layers.2 layer",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('prune layers { in "layer2.0" score l2 }', "P0502"),
        ("prune layers { keep >= 25% score l2 }", "P0210"),
        ("prune layers { score torch_pruning }", "P0410"),
    ],
)
def test_faults(text: str, code: str) -> None:
    given = f"target macs <= 50%\n{text}\nrepair none\n"
    with pytest.raises(PruneError) as caught:
        prunec.plan(given, model=spread(ResNet()), args=(IMAGES,))
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_model_without_layers() -> None:
    text = "target macs <= 50%\nprune layers { score l2 }\nrepair none\n"
    with pytest.raises(PruneError) as caught:
        prunec.plan(text, model=spread(PostNorm()), args=(FLAT,))
    assert [d.code for d in caught.value.diagnostics] == ["P0507"]
