"""Structured optimal brain surgery: the one eliminator behind OBC, OSSCAR, ZipLM and our channel
scores.

Theory (Hassibi & Stork 1993; OSSCAR, ICML 2024): a linear map y = W x with input moments H = E[x
x^T] loses 1/2 tr(W_P ([H^-1]_PP)^-1 W_P^T) when the columns P go and the others are re-fitted; that
re-fit and the inverse of the reduced problem are downdates, so channels can leave one after another
in O(d^2) each. A channel that several maps read leaves all of them at once and costs the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunec.ir.plan import Ranking
from prunec.passes.moments import damped_inverse


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


def eliminate(
    readers: Sequence[Reader], size: int, damping: float = 1e-2, rounds: int = 128
) -> Ranking:
    """Remove channels greedily, cheapest first, re-fitting after each round; what every length of
    it costs.

    ``damping`` is relative to the mean diagonal of each Hessian. Up to ``rounds`` channels leave
    one by one; a larger group lets several go in each round (their joint cost is exact, only their
    choice is not re-scored in between). ``loss[k]`` is 1/2 sum tr((W_k - W) H (W_k - W)^T), H
    damped, W_k re-fitted.
    """
    states = [_State.start(r, damping) for r in readers]
    alive = np.ones(size, dtype=bool)
    order: list[int] = []
    steps: list[NDArray[np.float64]] = []
    per_round = -(-size // rounds)
    while alive.any():
        channels = np.flatnonzero(alive)
        scores = sum((s.scores(torch.from_numpy(channels)) for s in states), torch.zeros(1))
        best = torch.argsort(scores.expand(len(channels)), stable=True)[:per_round].numpy()
        leaving = channels[best]
        costs = [s.remove(torch.from_numpy(leaving)) for s in states]
        steps.append(
            np.sum([c.numpy() for c in costs], axis=0) if costs else np.zeros(len(leaving))
        )
        order += leaving.tolist()
        alive[leaving] = False
    loss = np.concatenate([[0.0], np.cumsum(np.maximum(np.concatenate(steps), 0.0))])
    return Ranking(np.asarray(order, dtype=np.int64), loss)


@dataclass(slots=True, eq=False)
class _State:
    """A reader in the middle of elimination: the inverse Hessian and the re-fitted weight of what
    remains.
    """

    inverse: Tensor
    matrix: Tensor
    columns: Tensor

    @staticmethod
    def start(reader: Reader, damping: float) -> _State:
        inverse, _ = damped_inverse(reader.hessian.double(), damping)
        return _State(inverse, reader.matrix.double().clone(), reader.columns)

    def scores(self, channels: Tensor) -> Tensor:
        """Cost of removing each channel alone: 1/2 sum over groups of tr(W_c ([H^-1]_cc)^-1
        W_c^T).
        """
        columns = self.columns[channels]
        blocks = self.inverse[:, columns[:, :, None], columns[:, None, :]]
        weights = self.matrix[:, :, columns].permute(0, 2, 3, 1)
        factor = torch.linalg.cholesky(blocks)
        half = torch.linalg.solve_triangular(factor, weights, upper=False)
        scores: Tensor = 0.5 * half.square().sum((0, 2, 3))
        return scores

    def remove(self, channels: Tensor) -> Tensor:
        """Remove channels together; the cost that each adds to those before it."""
        gone = self.columns[channels].reshape(-1)
        factor = torch.linalg.cholesky(self.inverse[:, gone[:, None], gone])
        half = torch.linalg.solve_triangular(factor, self.matrix[:, :, gone].mT, upper=False)
        sweep = torch.linalg.solve_triangular(factor, self.inverse[:, gone], upper=False)
        self.matrix = self.matrix - half.mT @ sweep
        self.inverse = self.inverse - sweep.mT @ sweep
        self.matrix[:, :, gone] = 0.0
        costs: Tensor = 0.5 * half.square().reshape(len(half), len(channels), -1).sum((0, 2))
        return costs


def refit(hessian: Tensor, matrix: Tensor, kept: Tensor, damping: float = 1e-2) -> Tensor:
    """The weight on the kept columns that loses least: (H_RR)^-1 (H W^T)_R, ``[G, o, |kept|]``; the
    oracle of `eliminate`.
    """
    _, legal = damped_inverse(hessian.double(), damping)
    right = (legal @ matrix.double().mT)[:, kept]
    solution: Tensor = torch.linalg.solve(legal[:, kept[:, None], kept], right)
    return solution.mT
