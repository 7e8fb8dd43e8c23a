"""Routing: the experts of a mixture are a group; what reads their numbers otherwise keeps them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prunec
from prunec import trace
from prunec.diagnostics import PruneError
from prunec.ir.axis import atoms
from prunec.ir.group import Axes, Group
from prunec.passes import axes, cost, group
from tests import moe
from tests.check import build

X = torch.randn(4, 8)
DENSE = (moe.Stacked, moe.OneHot, moe.Compared, moe.Scattered)
SPARSE = (moe.Gathered, moe.Switch, moe.Maximum)
SPEC = "target params <= 60%\nprune channels { score random(seed=0) }\nrepair none\n"


def infer(module: nn.Module, *args: Tensor) -> tuple[Axes, dict[str, Group]]:
    graph = trace.run(module.eval(), args or (X,)).graph
    solved = axes.run(graph)
    return solved, {g.name: g for g in group.run(graph, solved)}


def experts(groups: dict[str, Group]) -> Group:
    (found,) = (g for g in groups.values() if g.kind == "experts")
    return found


@pytest.mark.parametrize("model", [*DENSE, *SPARSE])
def test_experts_are_a_group_of_router_rows_and_matrices(model: type[moe.Stacked]) -> None:
    _, groups = infer(model())
    found = experts(groups)
    assert {(p.weight, p.dim) for p in found.places} == {
        ("router.weight", 0),
        ("router.bias", 0),
        ("up", 0),
        ("down", 0),
    }
    assert (found.size, found.least) == (6, 2 if "topk" in found.mixing else 1)
    assert found.mixing
    wide, inner = (
        next(g for g in groups.values() if (place, dim) in {(p.weight, p.dim) for p in g.places})
        for place, dim in (("up", 1), ("up", 2))
    )
    assert (wide.size, inner.size) == (12, 10)
    assert {p.weight for p in wide.places} >= {"stem.weight", "router.weight", "down"}


@pytest.mark.parametrize("model", [*DENSE, *SPARSE])
@pytest.mark.parametrize("keep", [0.5, 0.1])
def test_slim_mixtures_are_their_masked_twins(model: type[moe.Stacked], keep: float) -> None:
    compiled = build.compile(model(), X, keep=keep)
    found = compiled.check()
    assert found.equal, found.diagnostics
    experts_left = compiled.slim.router.out_features
    assert experts_left == max(2, int(6 * keep))
    assert compiled.slim.up.shape[0] == compiled.slim.down.shape[0] == experts_left


@pytest.mark.parametrize("model", [moe.Gathered, moe.OneHot])
def test_the_whole_road(model: type[moe.Stacked]) -> None:
    spec = SPEC.replace("prune channels", "prune experts")
    compiled = prunec.compile(spec, model=model().eval(), args=(X,))
    assert [check.passed for check in compiled.report.checks] == [True] * 5
    (widths,) = (w for w in compiled.report.widths if w.kind == "experts")
    assert 2 <= widths.kept < widths.size == 6


@pytest.mark.parametrize("compared", [True, False])
def test_experts_that_are_modules_stay_and_their_widths_shrink(compared: bool) -> None:
    solved, groups = infer(moe.Loop(compared))
    assert sorted(g.size for g in groups.values()) == [10, 10, 10, 10, 12]
    assert "4" not in {str(g.size) for g in groups.values()}
    assert reason(solved, "router.weight")
    assert build.compile(moe.Loop(compared), X).check().equal


grouped = pytest.mark.skipif(
    not hasattr(F, "grouped_mm"), reason="this torch has no torch.nn.functional.grouped_mm"
)


def bfloat16() -> tuple[nn.Module, Tensor]:
    """torch exports grouped products of bfloat16 alone, in sizes that are multiples of eight."""
    return moe.Grouped(16, 24, 8).bfloat16().eval(), torch.randn(8, 8).bfloat16()


@grouped
def test_grouped_products_cost_the_same_however_many_experts_there_are() -> None:
    module, x = bfloat16()
    graph = trace.run(module, (x,)).graph
    solved = axes.run(graph)
    groups = {g.kind: g for g in group.run(graph, solved) if g.kind == "experts"}
    costs = cost.run(graph, solved)
    found = {t.name: t.monomials for t in costs.terms if "grouped_mm" in t.name}
    assert len(found) == 2
    assert all(groups["experts"].atom.id not in key for m in found.values() for key in m)
    assert costs.total("macs") == 8 * 16 + 16 * 8 + 2 * (2 * 16 * 24) + 16 * 5


@grouped
def test_grouped_products_are_emitted_as_plain_torch() -> None:
    module, x = bfloat16()
    compiled = build.compile(module, x)
    found = compiled.check()
    assert found.equal, found.diagnostics
    assert "def grouped_mm(x, weight, ends):" in compiled.source
    assert "torch.ops" not in compiled.source
    assert compiled.slim.up.shape[0] == 4
    assert compiled.slim.up.shape[2] == 12


def mixed(read: Callable[[Tensor, Tensor, Tensor], Tensor]) -> nn.Module:
    """A mixture that also reads the numbers of its experts: (scores, gates, experts) -> [n, 1]."""

    class Reads(moe.OneHot):
        def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
            return super().mixed(x, scores) + read(scores, *self.chosen(scores))

    return Reads()


def reason(solved: Axes, weight: str) -> str:
    return " ".join(solved.frozen[a.id].reason for a in atoms(solved.weights[weight][0]))


READS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "added to": lambda s, g, e: ((e + 1) * g).sum(1, keepdim=True),
    "compared with a number": lambda s, g, e: (e == 3).float().sum(1, keepdim=True),
    "ordered": lambda s, g, e: (e[:, :1] < e[:, 1:]).float(),
    "summed": lambda s, g, e: e.sum(1, keepdim=True).float(),
    "cast to flags": lambda s, g, e: e.bool().float().sum(1, keepdim=True),
    "cast to halves": lambda s, g, e: e.half().float().sum(1, keepdim=True),
    "the whole order": lambda s, g, e: s.argsort(-1).float().sum(1, keepdim=True),
    "reshaped scores": lambda s, g, e: s.view(-1, 2, 3).amax(-1).topk(2)[0].sum(1, keepdim=True),
    "too many taken": lambda s, g, e: s.topk(6)[0].sum(1, keepdim=True),
    "joined with others": lambda s, g, e: (
        F.one_hot(torch.cat([e, torch.zeros_like(e)], 1), 6).sum((1, 2))[:, None].float()
    ),
    "more classes": lambda s, g, e: F.one_hot(e, 7).sum((1, 2))[:, None].float(),
    "picked by number": lambda s, g, e: F.one_hot(e, 6)[..., 2].sum(1, keepdim=True).float(),
    "written": lambda s, g, e: torch.where(g > 0.5, e, 0).float().sum(1, keepdim=True),
}


@pytest.mark.parametrize("name", READS)
def test_numbers_that_are_read_otherwise_keep_the_experts(name: str) -> None:
    torch.manual_seed(0)
    solved, groups = infer(mixed(READS[name]))
    assert not [g for g in groups.values() if g.kind == "experts" and g.size == 6]
    assert reason(solved, "router.weight") or name == "reshaped scores"
    assert build.compile(mixed(READS[name]), X).check().equal


def test_numbers_that_are_returned_keep_the_experts() -> None:
    class Returned(moe.OneHot):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            x = self.stem(x)
            scores = self.router(x)
            return self.head(self.mixed(x, scores)), self.chosen(scores)[1]

    solved, groups = infer(Returned())
    assert "returns indices into it" in reason(solved, "router.weight")
    assert {g.kind for g in groups.values()} == {"channels"}


def test_an_index_that_is_moved_still_leads_to_the_experts() -> None:
    class Moved(moe.Stacked):
        def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
            experts = self.chosen(scores)[1]
            first, second = experts.unsqueeze(-1).long().split(1, 1)
            both = torch.cat([second, first], 1).squeeze(-1).flip(1)
            weights = scores.softmax(-1).gather(1, both)
            weights = weights / weights.sum(-1, keepdim=True)
            hot = torch.zeros_like(scores).scatter_add(1, both, weights)
            return self.weighted(x, hot)

    found = build.compile(Moved(), X)
    assert found.check().equal
    assert found.slim.router.out_features == 3


class Winners(nn.Module):
    """The k strongest channels pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        values, where = x.topk(3, -1)
        return self.head(torch.zeros_like(x).scatter(-1, where, values))


class Codebook(nn.Module):
    """The nearest of several vectors takes the place of each input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.codes, self.head = nn.Linear(8, 6), nn.Embedding(10, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        distances = self.codes.weight.square().sum(1) - 2 * x @ self.codes.weight.t()
        return self.head(self.codes(distances.argmin(1)))


@pytest.mark.parametrize(("model", "size", "least"), [(Winners, 12, 3), (Codebook, 10, 1)])
def test_what_is_chosen_need_not_be_experts(model: type[nn.Module], size: int, least: int) -> None:
    _, groups = infer(model())
    assert {(g.size, g.least) for g in groups.values() if g.mixing} == {(size, least)}
    assert "experts" not in {g.kind for g in groups.values()}
    assert build.compile(model(), X).check().equal


def test_a_target_below_k_experts_is_out_of_reach() -> None:
    with pytest.raises(PruneError):
        prunec.compile(
            SPEC.replace("60%", "1%"), model=moe.OneHot(k=6).eval(), args=(X,), check=False
        )


def test_mixtral_of_transformers() -> None:
    import tests.torchvision_ops  # noqa: F401

    transformers = pytest.importorskip("transformers")
    config = transformers.MixtralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        use_cache=False,
    )
    tokens = torch.randint(0, 64, (2, 8))
    compiled = build.compile(transformers.MixtralForCausalLM(config), tokens)
    found = compiled.check()
    assert found.equal, found.diagnostics
    kinds = {g.kind: g for g in compiled.groups}
    assert {p.weight.rpartition(".")[2] for p in kinds["experts"].places} == {
        "weight",
        "gate_up_proj",
        "down_proj",
    }
    assert {"hidden", "kv_heads", "heads", "head_dim", "channels", "experts"} == set(kinds)
    assert "transformers" not in compiled.source.replace("# ", "")


def test_qwen_moe_of_transformers() -> None:
    import tests.torchvision_ops  # noqa: F401

    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
        use_cache=False,
    )
    tokens = torch.randint(0, 64, (2, 8))
    found = build.compile(transformers.Qwen3MoeForCausalLM(config), tokens)
    assert found.check().equal
    assert "experts" in {g.kind for g in found.groups}
