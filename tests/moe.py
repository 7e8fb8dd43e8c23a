"""Mixtures of experts written by hand, with every way of sending tokens to experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Stacked(nn.Module):
    """Every expert on every token, weighted by a softmax over the experts."""

    def __init__(self, wide: int = 12, inner: int = 10, experts: int = 6, k: int = 2) -> None:
        super().__init__()
        self.k = k
        self.stem = nn.Linear(8, wide)
        self.router = nn.Linear(wide, experts)
        self.up = nn.Parameter(torch.randn(experts, wide, inner) / 3)
        self.down = nn.Parameter(torch.randn(experts, inner, wide) / 3)
        self.head = nn.Linear(wide, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.mixed(x, self.router(x)))

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        return self.weighted(x, scores.softmax(-1))

    def weighted(self, x: Tensor, gates: Tensor) -> Tensor:
        inner = torch.einsum("nd,edf->nef", x, self.up).relu()
        return torch.einsum("ned,ne->nd", torch.einsum("nef,efd->ned", inner, self.down), gates)

    def chosen(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        gates, experts = scores.softmax(-1).topk(self.k, -1)
        return gates / gates.sum(-1, keepdim=True), experts


class OneHot(Stacked):
    """The gates of the top k at their places, by a one-hot."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates, experts = self.chosen(scores)
        hot = F.one_hot(experts, scores.shape[-1]).to(gates.dtype)
        return self.weighted(x, (hot * gates.unsqueeze(-1)).sum(1))


class Compared(Stacked):
    """The same by comparing with the numbers of all experts."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates, experts = self.chosen(scores)
        numbers = torch.arange(scores.shape[-1])
        hot = (experts.unsqueeze(-1) == numbers).to(gates.dtype)
        return self.weighted(x, (hot * gates.unsqueeze(-1)).sum(1))


class Scattered(Stacked):
    """The same by a scatter into zeros."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates, experts = self.chosen(scores)
        return self.weighted(x, torch.zeros_like(scores).scatter(1, experts, gates))


class Gathered(Stacked):
    """Each token fetches the matrices of its experts."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates, experts = self.chosen(scores)
        inner = torch.einsum("nd,nkdf->nkf", x, self.up[experts]).relu()
        made = torch.einsum("nkf,nkfd->nkd", inner, self.down[experts])
        return (made * gates.unsqueeze(-1)).sum(1)


class Switch(Stacked):
    """One expert a token, by argmax, gather, index_select and bmm."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates = scores.softmax(-1)
        expert = gates.argmax(-1)
        gate = gates.gather(1, expert.unsqueeze(1))
        inner = torch.bmm(x.unsqueeze(1), self.up.index_select(0, expert)).relu()
        return torch.bmm(inner, self.down[expert]).squeeze(1) * gate


class Maximum(Stacked):
    """One expert a token, by max along the experts; its matrices are rows of tables."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gate, expert = scores.softmax(-1).max(-1, keepdim=True)
        up = F.embedding(expert.squeeze(1), self.up.flatten(1)).view(-1, *self.up.shape[1:])
        inner = torch.bmm(x.unsqueeze(1), up).relu()
        return torch.bmm(inner, self.down[expert[:, 0]]).squeeze(1) * gate


class Grouped(Stacked):
    """Tokens sorted by expert, and one grouped product."""

    def mixed(self, x: Tensor, scores: Tensor) -> Tensor:
        gates, experts = self.chosen(scores)
        number, order = experts.flatten().sort()
        count, bins = scores.shape[-1], number.to(torch.float32)
        ends = torch.histc(bins, bins=count, min=0, max=count - 1).cumsum(0, dtype=torch.int32)
        inner = F.grouped_mm(x[order // self.k], self.up, offs=ends).relu()
        made = F.grouped_mm(inner, self.down, offs=ends) * gates.flatten()[order].unsqueeze(-1)
        return made[order.argsort()].view(-1, self.k, x.shape[1]).sum(1)


class Loop(nn.Module):
    """Every expert, a module, on every token; what is not chosen weighs nothing."""

    def __init__(self, compared: bool) -> None:
        super().__init__()
        self.compared = compared
        self.stem = nn.Linear(8, 12)
        self.router = nn.Linear(12, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 12)) for _ in range(4)
        )
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gates, chosen = self.router(x).softmax(-1).topk(2, -1)
        hot = F.one_hot(chosen, 4)
        total = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            mine = chosen == number if self.compared else hot[..., number] > 0
            total = total + expert(x) * torch.where(mine, gates, 0.0).sum(-1, keepdim=True)
        return self.head(x + total)
