"""`prune vocabulary` from end to end: rows of embeddings go, and token ids are renumbered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn

import prunec
from prunec import PruneError
from prunec.driver import Compiled

TOKENS = 40
Answer: TypeAlias = Callable[[Any, Tensor, Tensor], Any]
IDS = torch.randint(0, TOKENS, (2, 6), generator=torch.Generator().manual_seed(1))


class Language(nn.Module):
    """A tiny language model: ids [N, T] -> logits [N, T, tokens]."""

    def __init__(self, *, tied: bool = True, padding: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, 8, padding_idx=padding)
        self.place = nn.Embedding(16, 8)
        self.norm = nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, TOKENS, bias=True)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1]))
        x = x + self.down(torch.relu(self.up(self.norm(x))))
        logits: Tensor = self.head(x)
        return logits


class Masked(Language):
    """Padding is masked out: the ids are compared with a number."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * (ids != 0).unsqueeze(-1)


def compiled(model: nn.Module, spec: str = "", **given: Any) -> Compiled:
    text = spec or "target params <= 80%\nprune vocabulary { score l2 }\nrepair none\n"
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return prunec.compile(text, model=model.eval(), args=(IDS,), **given)


def kept(found: Compiled) -> Tensor:
    return torch.from_numpy(found.removed.renumbered["ids"]).nonzero().squeeze(1)


def refused(model: nn.Module, spec: str = "", **given: Any) -> PruneError:
    with pytest.raises(PruneError) as caught:
        compiled(model, spec, **given)
    return caught.value


def test_a_tied_model() -> None:
    model = Language()
    found = compiled(model)
    ids = kept(found)
    assert 1 < len(ids) < TOKENS
    assert all(check.passed for check in found.report.checks)
    assert len(found.report.checks) == 5
    old = ids[torch.arange(12) % len(ids)].view(2, 6)
    new = torch.searchsorted(ids, old)
    with torch.no_grad():
        torch.testing.assert_close(found.module(new), model(old)[..., ids])
    assert [w.kind for w in found.report.widths if w.kept < w.size] == ["vocabulary"]


def test_the_kept_ids_are_in_the_lock_and_the_file_speaks_of_them() -> None:
    found = compiled(Language())
    lock = json.loads(found.files["slim.lock.json"])
    listed: list[int] = []
    for part in lock["renumbered"]["ids"].split(", "):
        first, _, last = part.partition("-")
        listed += range(int(first), int(last or first) + 1)
    assert listed == kept(found).tolist()
    assert f"{len(listed)} of {TOKENS} are kept" in found.source.split("import")[0]
    assert "P0509" in {d.code for d in found.report.diagnostics}


def test_an_untied_head_stays() -> None:
    model = Language(tied=False)
    found = compiled(model)
    ids = kept(found)
    assert found.module.head.weight.shape == (TOKENS, 8)  # type: ignore[union-attr]
    assert found.module.embed.weight.shape == (len(ids), 8)  # type: ignore[union-attr]
    with torch.no_grad():
        new = torch.arange(6).view(1, 6)
        torch.testing.assert_close(found.module(new), model(ids[new]))


@pytest.mark.parametrize("padding", [0, 1, 17, TOKENS - 1])
def test_the_padding_row_stays(padding: int) -> None:
    found = compiled(
        Language(padding=padding),
        "target params <= 70%\nprune vocabulary { score random(seed=3) }\nrepair none\n",
    )
    ids = kept(found)
    assert padding in ids
    assert found.module.embed.padding_idx == ids.tolist().index(padding)  # type: ignore[union-attr]


def test_ids_that_are_compared_keep_their_rows() -> None:
    fault = refused(Masked()).diagnostics[0]
    assert fault.code == "P0507"
    assert any("used otherwise (`ne`)" in note for note in fault.notes)


def test_only_when_asked_for() -> None:
    model = Language().eval()
    assert "vocabulary" not in {g.kind for g in prunec.analyze(model, args=(IDS,)).groups}
    found = compiled(Language(), "target params <= 70%\nprune channels { score l2 }\nrepair none\n")
    assert not found.removed.renumbered
    assert found.module.embed.weight.shape[0] == TOKENS  # type: ignore[union-attr]


def test_together_with_other_widths() -> None:
    rules = "prune vocabulary { score l2 }\nprune channels { score l2 }\n"
    spec = f"target params <= 40%\n{rules}solve uniform\nrepair none\n"
    found = compiled(Language(padding=2), spec)
    assert {w.kind for w in found.report.widths if w.kept < w.size} >= {"vocabulary", "hidden"}


def test_what_reads_old_ids_is_refused() -> None:
    rule = "target params <= 80%\nprune vocabulary\n"
    assert refused(Language(), rule, calibrate=[(IDS,)]).diagnostics[0].code == "P0508"
    search = rule + "solve dp(search=2)\nrepair none\n"
    fault = refused(Language(), search, calibrate=[(IDS,)]).diagnostics[0]
    assert fault.code == "P0508"
    fault = refused(Language(), rule + "repair none\n", evaluate=[(IDS, IDS)]).diagnostics[0]
    assert fault.code == "P0508"


def test_verify_anew() -> None:
    model = Language()
    assert prunec.verify(model, compiled(model), args=(IDS,)).passed


class Other(Language):
    """A language model whose answer is made from its weights, the ids and the logits."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, ids: Tensor) -> Any:
        return self.answer(self, ids, super().forward(ids))


@pytest.mark.parametrize(
    "answer",
    [
        lambda net, ids, y: y.log_softmax(-1),
        lambda net, ids, y: y.view(-1, TOKENS),
        lambda net, ids, y: y[:, -1],
        lambda net, ids, y: y.transpose(1, 2),
        lambda net, ids, y: y.softmax(-1) @ net.embed.weight,
        lambda net, ids, y: net.embed.weight @ net.embed.weight.t() + y.sum(),
        lambda net, ids, y: y + net.embed(ids.int().view(-1).view(ids.shape)).sum(),
        lambda net, ids, y: y * torch.ones_like(ids).unsqueeze(-1),
    ],
)
def test_answers_that_follow_the_ids(answer: Answer) -> None:
    assert 1 < len(kept(compiled(Other(answer)))) < TOKENS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda net, ids, y: y.argmax(-1), "the model returns indices into it"),
        (lambda net, ids, y: y.flatten(1), "the model returns it"),
        (lambda net, ids, y: (y, net.embed.weight), "the model returns it"),
        (lambda net, ids, y: (y, ids.clone()), "the model returns the ids that select from it"),
        (lambda net, ids, y: y.gather(-1, ids.unsqueeze(-1)), "otherwise (`gather`)"),
        (lambda net, ids, y: y * ids.unsqueeze(-1), "otherwise (`mul`)"),
    ],
)
def test_uses_that_keep_all_tokens(answer: Answer, reason: str) -> None:
    fault = refused(Other(answer)).diagnostics[0]
    assert fault.code == "P0507"
    assert any("embed.weight" in note and reason in note for note in fault.notes)


class Pair(Language):
    """Two inputs select from one table."""

    def forward(self, ids: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(ids) + self.embed(other).sum()


def test_inputs_of_one_table_are_renumbered_alike() -> None:
    spec = "target params <= 80%\nprune vocabulary { score l2 }\nrepair none\n"
    found = prunec.compile(spec, model=Pair().eval(), args=(IDS, IDS.flip(0)))
    first, second = found.removed.renumbered.values()
    assert (first == second).all()
    assert 1 < first.sum() < TOKENS
