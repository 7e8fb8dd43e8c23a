"""`prune KIND` from end to end: it shortens groups of that kind alone, and the proof holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError
from prunec.driver import Compiled
from tests.structures import (
    IMAGE,
    TOKENS,
    Attention,
    Grouped,
    GroupNormed,
    ResNet,
    Transformer,
)


def built(model: nn.Module) -> nn.Module:
    """The model in eval mode, every weight and statistic a number of its own."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator) / 3
                tensor.copy_(drawn.abs() + 0.1 if name.endswith("running_var") else drawn)
    return model.eval()


def pruned(model: nn.Module, x: Tensor, kind: str, share: int, where: str = "") -> Compiled:
    rule = f"prune {kind} {{ {where} score random(seed=0) }}"
    spec = f"target params <= {share}%\n{rule}\nsolve uniform\nrepair none\n"
    return prunec.compile(spec, model=built(model), args=(x,))


def shortened(found: Compiled) -> dict[str, tuple[int, int]]:
    """Group -> kept, of; after asserting that the proof is there."""
    assert found.report.checks
    assert all(c.passed for c in found.report.checks)
    return {w.group: (w.kept, w.size) for w in found.report.widths if w.kept < w.size}


def kinds(found: Compiled) -> set[str]:
    return {w.kind for w in found.report.widths if w.kept < w.size}


def kept_rows(dense: Tensor, slim: Tensor) -> list[int]:
    """Which entries of a vector stayed."""
    return [int((dense == value).nonzero()) for value in slim]


def heads() -> Transformer:
    return Transformer(Attention(), Attention(fused=False))


def grouped(repeat: str = "expand", *, fused: bool = True) -> Transformer:
    return Transformer(*(Attention(4, 2, repeat=repeat, fused=fused) for _ in range(2)))


def test_heads_of_multi_head_attention() -> None:
    found = pruned(heads(), TOKENS, "heads", 75)
    assert kinds(found) == {"heads"}
    for layer in found.module.layers:  # type: ignore[union-attr]
        assert layer.attention.q.weight.shape[0] % 6 == 0
        assert layer.up.weight.shape == (24, 16)


def test_heads_where_a_selector_says() -> None:
    found = pruned(heads(), TOKENS, "heads", 90, 'in "layers.1.**"')
    assert set(shortened(found)) == {"layers.1.attention.{q,k,v} heads"}


@pytest.mark.parametrize("style", ["einsum", "bmm", "matmul"])
def test_heads_written_out(style: str) -> None:
    attention = Attention(4, 4, repeat=style, fused=False)
    found = pruned(Transformer(attention), TOKENS, "heads", 80)
    assert kinds(found) == {"heads"}
    assert set(shortened(found)) == {"layers.0.attention.{q,k,v} heads"}


@pytest.mark.parametrize("repeat", ["expand", "interleave", "outer", "sdpa"])
def test_query_heads_and_shared_heads_are_apart(repeat: str) -> None:
    model = grouped(repeat)
    found = pruned(model, TOKENS, "kv_heads", 85)
    assert kinds(found) == {"kv_heads"}
    slim = found.module.layers[0].attention  # type: ignore[union-attr, index]
    assert (slim.q.weight.shape[0], slim.k.weight.shape[0]) == (12, 6)
    found = pruned(model, TOKENS, "heads", 90)
    assert kinds(found) == {"heads"}
    slim = found.module.layers[0].attention  # type: ignore[union-attr, index]
    assert (slim.q.weight.shape[0], slim.k.weight.shape[0]) == (12, 12)


@pytest.mark.parametrize("rotation", ["half", "pairs"])
def test_rotary_pairs_stay_together(rotation: str) -> None:
    model = built(Transformer(Attention(rotation=rotation)))
    found = pruned(model, TOKENS, "head_dim", 85)
    assert kinds(found) == {"head_dim"}
    dense, slim = model.layers[0].attention, found.module.layers[0].attention  # type: ignore[union-attr, index]
    first = [row for row in kept_rows(dense.q.bias, slim.q.bias) if row < 6]
    assert 0 < len(first) < 6
    partner = (lambda i: (i + 3) % 6) if rotation == "half" else (lambda i: i ^ 1)
    assert {partner(i) for i in first} == set(first)
    assert kept_rows(dense.k.bias, slim.k.bias) == kept_rows(dense.q.bias, slim.q.bias)


def test_values_have_a_width_of_their_own() -> None:
    found = pruned(Transformer(Attention()), TOKENS, "head_dim", 90, 'in "**.v"')
    assert set(shortened(found)) == {"layers.0.attention.v head_dim"}


def test_groups_of_a_convolution() -> None:
    model = built(Grouped())
    found = pruned(model, IMAGE, "groups", 60)
    assert set(shortened(found)) == {"{stem,grouped} groups"}
    left = found.module.grouped.groups  # type: ignore[union-attr]
    assert left < 4
    rows = kept_rows(model.stem.bias, found.module.stem.bias)  # type: ignore[arg-type, union-attr]
    assert len(rows) == 3 * left  # type: ignore[operator]
    assert rows == [3 * g + i for g in sorted({r // 3 for r in rows}) for i in range(3)]
    assert found.module.depthwise.groups == 10  # type: ignore[union-attr]


def test_groups_of_a_norm() -> None:
    found = pruned(GroupNormed(), IMAGE, "groups", 60)
    assert set(shortened(found)) == {"conv1 groups"}
    norm = found.module.norm
    assert norm.num_channels == 3 * norm.num_groups  # type: ignore[union-attr, operator]


def test_the_stream_of_a_transformer() -> None:
    found = pruned(heads(), TOKENS, "hidden", 60)
    assert set(shortened(found)) == {"layers residual"}
    assert found.module.layers[0].up.weight.shape[0] == 24  # type: ignore[union-attr, index]


def test_the_streams_of_a_residual_network() -> None:
    found = pruned(ResNet(), IMAGE, "hidden", 60)
    assert set(shortened(found)) == {"layer1 residual", "layer2 residual"}
    assert found.module.layer1[0].conv1.weight.shape[0] == 8  # type: ignore[union-attr, index]


def test_channels_are_every_width() -> None:
    found = pruned(grouped(), TOKENS, "channels", 20)
    assert kinds(found) == {"channels", "hidden", "heads", "kv_heads", "head_dim"}


def test_the_first_rule_takes_its_own() -> None:
    spec = (
        "target params <= 70%\n"
        "prune heads { keep >= 100% score l2 }\n"
        "prune channels { score random(seed=0) }\n"
        "repair none\n"
    )
    found = prunec.compile(spec, model=built(heads()), args=(TOKENS,))
    assert "heads" not in kinds(found)
    assert "hidden" in kinds(found)


def test_a_kind_that_is_elsewhere() -> None:
    with pytest.raises(PruneError) as caught:
        pruned(heads(), TOKENS, "heads", 80, 'in "**.up"')
    assert caught.value.diagnostics[0].code == "P0502"
    with pytest.raises(PruneError) as caught:
        pruned(heads(), TOKENS, "groups", 80)
    assert caught.value.diagnostics[0].code == "P0507"
    assert "`heads` (2)" in str(caught.value)
