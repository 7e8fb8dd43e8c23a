"""Structured optimal brain surgery: the one eliminator behind OBC, OSSCAR, ZipLM and our channel
scores.

Theory (Hassibi & Stork 1993; OSSCAR, ICML 2024): a linear map y = W x with input moments H = E[x
x^T] loses 1/2 tr(W_P ([H^-1]_PP)^-1 W_P^T) when the columns P go and the others are re-fitted; that
re-fit and the inverse of the reduced problem are downdates, so channels can leave one after another
in O(d^2) each. A channel that several maps read leaves all of them at once and costs the sum.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.ir.plan import Ranking
from prunec.passes.moments import damp


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A linear map that reads a group's channels.

    ``hessian`` [G, d, d] are the moments of its input, ``matrix`` [G, o, d] its weight (float64),
    ``columns`` int64 [size, k] the k columns that belong to each channel. Rows of ``matrix`` may
    carry a weight of their own: scaling row r by s counts its squared error s^2 times.
    """

    hessian: Tensor
    matrix: Tensor
    columns: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Elimination:
    """The order of removal with its losses, and the re-fitted weights of every reader after some of
    the rounds: ``weights[k]`` after ``order[:k]`` are gone, zero in their columns.
    """

    ranking: Ranking
    weights: dict[int, tuple[Tensor, ...]]


def eliminate(
    readers: Sequence[Reader],
    size: int,
    damping: float = 1e-2,
    snapshots: Collection[int] = (),
    rounds: int = 128,
) -> Elimination:
    """Remove channels greedily, cheapest first, re-fitting after each round; what it costs.

    ``damping`` is relative to the mean diagonal of each Hessian. Up to ``rounds`` channels leave
    one by one; a larger group lets several go in each round (their joint cost is exact, only their
    choice is not re-scored in between). ``loss[k]`` is 1/2 sum tr((W_k - W) H (W_k - W)^T), H
    damped, W_k re-fitted. Weights are kept after the first round that reaches each snapshot.
    """
    states = [_State(reader, damping) for reader in readers]
    alive = np.ones(size, dtype=bool)
    order: list[int] = []
    steps: list[NDArray[np.float64]] = []
    weights: dict[int, tuple[Tensor, ...]] = {}
    per_round = -(-size // rounds)
    while alive.any():
        channels = np.flatnonzero(alive)
        scores = sum((s.scores(torch.from_numpy(channels)) for s in states), torch.zeros(1))
        best = torch.argsort(scores.expand(len(channels)), stable=True)[:per_round].numpy()
        leaving = channels[best]
        costs = [s.remove(torch.from_numpy(leaving)).numpy() for s in states]
        steps.append(np.sum([np.zeros(len(leaving)), *costs], axis=0))
        if any(len(order) < s <= len(order) + len(leaving) for s in snapshots):
            weights[len(order) + len(leaving)] = tuple(s.weight() for s in states)
        order += leaving.tolist()
        alive[leaving] = False
    loss = np.concatenate([[0.0], np.cumsum(np.maximum(np.concatenate(steps), 0.0))])
    return Elimination(Ranking(np.asarray(order, dtype=np.int64), loss), weights)


class _State:
    """A reader in the middle of elimination: inverse Hessian and weight of the columns that
    remain.
    """

    def __init__(self, reader: Reader, damping: float) -> None:
        self.inverse = torch.cholesky_inverse(damp(reader.hessian.double(), damping)[1])
        self.matrix = reader.matrix.double()
        self.width = self.matrix.shape[2]
        self.columns = reader.columns
        self.remaining = torch.arange(self.width)

    def scores(self, channels: Tensor) -> Tensor:
        """Cost of removing each channel alone: 1/2 sum over groups of tr(W_c ([H^-1]_cc)^-1
        W_c^T).
        """
        columns = self.columns[channels]
        blocks = self.inverse[:, columns[:, :, None], columns[:, None, :]]
        weights = self.matrix[:, :, columns].permute(0, 2, 3, 1)
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(blocks), weights, upper=False)
        scores: Tensor = 0.5 * half.square().sum((0, 2, 3))
        return scores

    def remove(self, channels: Tensor) -> Tensor:
        """Remove channels together; the cost that each adds to those before it."""
        gone = self.columns[channels].reshape(-1)
        stays = torch.ones(len(self.remaining), dtype=torch.bool)
        stays[gone] = False
        factor = torch.linalg.cholesky(self.inverse[:, gone[:, None], gone])
        half = torch.linalg.solve_triangular(factor, self.matrix[:, :, gone].mT, upper=False)
        rest = self.inverse[:, gone][:, :, stays]
        sweep = torch.linalg.solve_triangular(factor, rest, upper=False)
        self.matrix = self.matrix[:, :, stays] - half.mT @ sweep
        self.inverse = self.inverse[:, stays][:, :, stays] - sweep.mT @ sweep
        self.remaining = self.remaining[stays]
        self.columns = (stays.cumsum(0) - 1)[self.columns]
        costs: Tensor = 0.5 * half.square().reshape(len(half), len(channels), -1).sum((0, 2))
        return costs

    def weight(self) -> Tensor:
        """The re-fitted weight in full width ``[G, o, d]``."""
        full = self.matrix.new_zeros(*self.matrix.shape[:2], self.width)
        full[:, :, self.remaining] = self.matrix
        return full
