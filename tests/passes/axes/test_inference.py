"""Axis inference on small modules: which channels are coupled, which stay, and why."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunec import trace
from prunec.ir.axis import atoms
from prunec.ir.group import Axes, Group
from prunec.passes import axes, group


def infer(module: nn.Module, *args: Tensor) -> tuple[Axes, dict[str, Group]]:
    graph = trace.run(module, args).graph
    solved = axes.run(graph)
    return solved, {g.name: g for g in group.run(graph, solved)}


def places(found: Group) -> set[tuple[str, int]]:
    return {(p.weight, p.dim) for p in found.places}


def reasons(solved: Axes, weight: str, dim: int) -> str:
    return " ".join(solved.frozen[a.id].reason for a in atoms(solved.weights[weight][dim]))


IMAGE = torch.zeros(2, 3, 8, 8)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.outer(F.relu(self.norm(self.inner(x))))
        return self.head(x.mean((2, 3)))


def test_a_residual_stream_is_one_group_and_a_branch_another() -> None:
    solved, groups = infer(Residual(), IMAGE)
    assert set(groups) == {"{stem,outer}", "inner"}
    assert groups["{stem,outer}"].consumers == ("inner", "head")
    assert places(groups["inner"]) == {
        ("inner.weight", 0),
        ("inner.bias", 0),
        ("norm.weight", 0),
        ("norm.bias", 0),
        ("norm.running_mean", 0),
        ("norm.running_var", 0),
        ("outer.weight", 1),
    }
    assert "model's input `x`" in reasons(solved, "stem.weight", 1)
    assert "returns" in reasons(solved, "head.weight", 0)
    assert all(g.exact for g in groups.values())


class OptionA(nn.Module):
    """The shortcut of a CIFAR ResNet: strided, and padded with zero channels on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)) + self.branch(x)
        return self.head(x.mean((2, 3)))


def test_zero_padded_shortcuts_separate_the_padding_from_the_stream() -> None:
    _, groups = infer(OptionA(), IMAGE)
    assert {g.size for g in groups.values()} == {8, 4}
    stream = next(g for g in groups.values() if g.size == 8)
    assert stream.producers == ("stem", "branch")
    padded = sorted(g.name for g in groups.values() if g.size == 4)
    assert padded == ["branch[0:4]", "branch[12:16]"]


class Shuffle(nn.Module):
    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, channels, 1)
        self.b = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.b(x).sum(1)


def test_a_channel_shuffle_is_a_product_of_two_axes() -> None:
    _, groups = infer(Shuffle(), IMAGE)
    shuffled = [g for g in groups.values() if "a" in g.producers]
    assert sorted(g.size for g in shuffled) == [2, 4]
    assert str(shuffled[0].places[0].axis) != str(shuffled[0].places[-1].axis)


class Split(nn.Module):
    """YOLO's C2f: chunk, a bottleneck on one half, concatenation of all."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.m = nn.Conv2d(4, 4, 1)
        self.b = nn.Conv2d(12, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = list(self.a(x).chunk(2, 1))
        y.append(self.m(y[-1]))
        return self.b(torch.cat(y, 1)).sum(1)


def test_chunk_and_cat_cut_and_join() -> None:
    _, groups = infer(Split(), IMAGE)
    assert {(g.name, g.size) for g in groups.values()} == {
        ("a[0:4]", 4),
        ("a[4:8]", 4),
        ("m", 4),
        ("b", 6),
    }


class Depthwise(nn.Module):
    def __init__(self, multiplier: int = 1) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 1)
        self.d = nn.Conv2d(6, 6 * multiplier, 3, groups=6)
        self.b = nn.Conv2d(6 * multiplier, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.d(self.a(x))).sum(1)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_channels_are_groups_of_the_convolution(multiplier: int) -> None:
    solved, groups = infer(Depthwise(multiplier), IMAGE)
    channels = next(g for g in groups.values() if "a" in g.producers)
    assert channels.size == 6
    assert {("a.weight", 0), ("d.weight", 0), ("b.weight", 1)} <= places(channels)
    assert [s.path for s in solved.sizes["conv2d_1"]] == [(6,)]


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 12, 1)
        self.g = nn.Conv2d(12, 8, 1, groups=4)
        self.n = nn.GroupNorm(4, 8)
        self.b = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.n(self.g(self.a(x)))).sum(1)


def test_a_grouped_convolution_factors_its_channels() -> None:
    _, groups = infer(Grouped(), IMAGE)
    sizes = {
        frozenset(p.weight for p in g.places if p.weight.endswith("weight")): g
        for g in groups.values()
    }
    whole = sizes[frozenset({"a.weight", "g.weight", "n.weight", "b.weight"})]
    inside = sizes[frozenset({"a.weight", "g.weight"})]
    out = sizes[frozenset({"g.weight", "n.weight", "b.weight"})]
    assert (whole.size, inside.size, out.size) == (4, 3, 2)
    assert whole.exact
    assert not out.exact


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


def test_flattened_channels_keep_their_space() -> None:
    _, groups = infer(Flat(), IMAGE)
    (channels,) = groups.values()
    axis = next(p.axis for p in channels.places if p.weight == "fc.weight")
    assert channels.size == 6
    assert str(axis).count("*") == 2


class GroupedQueries(nn.Module):
    """Llama's attention: keys and values repeated for groups of query heads, rotary positions."""

    def __init__(self, heads: int = 4, shared: int = 2, width: int = 6) -> None:
        super().__init__()
        self.heads, self.shared, self.width = heads, shared, width
        self.embed = nn.Linear(5, 16)
        self.q = nn.Linear(16, heads * width, bias=False)
        self.k = nn.Linear(16, shared * width, bias=False)
        self.v = nn.Linear(16, shared * width, bias=False)
        self.o = nn.Linear(heads * width, 16, bias=False)
        self.head = nn.Linear(16, 3)

    def rotate(self, x: Tensor) -> Tensor:
        half = torch.cat((-x[..., self.width // 2 :], x[..., : self.width // 2]), -1)
        angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None]
        return x * angle.cos() + half * angle.sin()

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, t, _ = x.shape
        q, k, v = (
            m(x).view(n, t, -1, self.width).transpose(1, 2) for m in (self.q, self.k, self.v)
        )
        times = self.heads // self.shared
        k = self.rotate(k)
        k = k[:, :, None].expand(n, self.shared, times, t, self.width).reshape(n, -1, t, self.width)
        v = v[:, :, None].expand(n, self.shared, times, t, self.width).reshape(n, -1, t, self.width)
        y = F.scaled_dot_product_attention(self.rotate(q), k, v)
        return self.head(x + self.o(y.transpose(1, 2).reshape(n, t, -1)))


def test_grouped_query_attention_has_shared_heads_query_heads_and_two_head_sizes() -> None:
    solved, groups = infer(GroupedQueries(), torch.zeros(2, 7, 5))
    by_kind = {(g.kind, g.producers): g for g in groups.values()}
    shared = by_kind["kv_heads", ("q", "k", "v")]
    queries = by_kind["heads", ("q",)]
    rotary = by_kind["head_dim", ("q", "k")]
    values = by_kind["head_dim", ("v",)]
    assert (shared.size, queries.size, rotary.size, values.size) == (2, 2, 3, 6)
    assert places(queries) == {("q.weight", 0), ("o.weight", 1)}
    assert places(values) == {("v.weight", 0), ("o.weight", 1)}
    assert [p.keyword for p in solved.pins["scaled_dot_product_attention"]] == ["scale"]


class Fused(nn.Module):
    """ViT's attention: one weight for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 36)
        self.proj = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)
        self.position = nn.Parameter(torch.zeros(1, 5, 12))
        self.embed = nn.Linear(7, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.position
        n, t, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, t, 3, 3, c // 3)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q * 0.5) @ k.transpose(-2, -1)).softmax(-1)
        return self.head((x + self.proj((attention @ v).transpose(1, 2).reshape(n, t, c)))[:, 0])


def test_fused_attention_shares_heads_and_a_norm_mixes_the_stream() -> None:
    _, groups = infer(Fused(), torch.zeros(2, 5, 7))
    stream = next(g for g in groups.values() if "embed" in g.producers)
    along = {("position", 2), ("norm.weight", 0), ("qkv.weight", 1), ("proj.weight", 0)}
    assert along <= places(stream)
    assert not stream.exact
    assert sorted(g.size for g in groups.values() if "qkv" in g.producers) == [3, 4]


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.down = nn.Conv2d(8, 2, 1)
        self.up = nn.Conv2d(2, 8, 1)
        self.b = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.b(x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()).sum(1)


def test_a_gate_is_coupled_with_what_it_scales() -> None:
    _, groups = infer(Gate(), IMAGE)
    assert groups["{a,up}"].consumers == ("down", "b")
    assert groups["down"].size == 2


class Moved(nn.Module):
    def __init__(self, move: str) -> None:
        super().__init__()
        self.move = move
        self.a = nn.Conv2d(3, 8, 1)
        self.b = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x.flip(1) if self.move == "flip" else x.roll(3, 1)
        return self.b(x).sum(1)


def test_a_roll_exchanges_two_segments() -> None:
    solved, groups = infer(Moved("roll"), IMAGE)
    assert {(g.name, g.size) for g in groups.values()} == {("a[0:5]", 5), ("a[5:8]", 3), ("b", 4)}
    assert [(s.path, s.start, s.stop) for s in solved.sizes["roll"]] == [((1, 0), 5, 8)]


def test_a_flip_freezes_the_axis_and_says_so() -> None:
    solved, groups = infer(Moved("flip"), IMAGE)
    assert set(groups) == {"b"}
    assert "reversed (`flip`)" in reasons(solved, "a.weight", 0)
    assert "reversed (`flip`)" in reasons(solved, "b.weight", 1)


class Overwritten(nn.Module):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.a = nn.Conv2d(3, 10, 1)
        self.part = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(10, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y[:, 2 : 2 + 4 * self.step : self.step] = self.part(x)
        return self.b(y).sum(1)


def test_an_overwritten_slice_is_a_segment_of_the_axis() -> None:
    solved, groups = infer(Overwritten(1), IMAGE)
    assert {(g.name, g.size) for g in groups.values()} == {
        ("a[0:2]", 2),
        ("{a,part}", 4),
        ("a[6:10]", 4),
        ("b", 4),
    }
    assert places(groups["{a,part}"]) >= {("a.weight", 0), ("part.weight", 0), ("b.weight", 1)}
    (node,) = [n for n in solved.sizes if n.startswith("slice_scatter")]
    assert [(s.path, s.start, s.stop) for s in solved.sizes[node]] == [((3,), 0, 2), ((4,), 0, 6)]


def test_an_overwritten_slice_with_a_step_freezes_the_axis_and_says_so() -> None:
    solved, groups = infer(Overwritten(2), IMAGE)
    assert set(groups) == {"b"}
    assert "a slice of it is overwritten" in reasons(solved, "a.weight", 0)
    assert "it overwrites a slice" in reasons(solved, "part.weight", 0)


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.b = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.renorm(self.a(x), 2, 0, 1.0)).sum(1)


def test_an_operator_without_a_signature_freezes_what_it_touches() -> None:
    solved, groups = infer(Unknown(), IMAGE)
    assert set(groups) == {"b"}
    why = solved.frozen[next(atoms(solved.weights["a.weight"][0])).id]
    assert "no signature" in why.reason
    assert why.line is not None
    assert why.line.startswith("tests/") or "test_inference.py" in why.line


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.up = nn.Linear(6, 9)
        self.down = nn.Linear(9, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.down(self.up(x)))


def test_tied_weights_are_one_tensor_with_two_readers() -> None:
    _, groups = infer(Tied(), torch.zeros(2, 5, dtype=torch.long))
    stream = next(g for g in groups.values() if g.size == 6)
    assert ("embed.weight", 1) in places(stream)
    assert all(p.weight != "head.weight" for p in stream.places)
    assert next(p.role for p in stream.places if p.weight == "embed.weight") == "consume"


def test_inference_is_the_same_every_time() -> None:
    first, second = (infer(GroupedQueries(), torch.zeros(2, 7, 5)) for _ in range(2))
    assert first[0] == second[0]
    assert list(first[1].values()) == list(second[1].values())


class Unflattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(3, 6, 1)
        self.b = nn.Conv1d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2)
        return self.b((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)).sum(1)


def test_unflatten_inside_a_tensor_counts_its_own_sizes_and_a_spread_needs_two_channels() -> None:
    solved, groups = infer(Unflattened(), torch.zeros(2, 3, 5))
    assert sorted((g.size, g.least) for g in groups.values()) == [(2, 2), (3, 2), (4, 1)]
    assert [s.path for s in solved.sizes["unflatten"]] == [(2, 0), (2, 1)]
