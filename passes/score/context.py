"""What a score may look at, and how per-channel scores become rankings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunec.ir.axis import members
from prunec.ir.graph import Graph
from prunec.ir.group import Axes, Group, Place
from prunec.ir.plan import Ranking
from prunec.passes.batches import Batch


@dataclass(frozen=True, eq=False)
class Context:
    """The model as traced and analysed, its calibration batches, and the original module where
    there is one.
    """

    graph: Graph
    weights: Mapping[str, Tensor]
    axes: Axes
    groups: tuple[Group, ...]
    batches: tuple[Batch, ...] = ()
    module: nn.Module | None = None


def slices(place: Place, group: Group, weight: Tensor) -> Tensor:
    """What each channel owns of a weight, as rows ``[channels, ...]``."""
    index = torch.from_numpy(members(place.axis, group.atom)).to(weight.device)
    rows = weight.movedim(place.dim, 0)[index.reshape(-1)]
    return rows.reshape(group.size, -1)


def producers(context: Context, group: Group) -> tuple[Place, ...]:
    """The weight matrices and filters that make the group's channels; every place where there are
    none.
    """
    return _matrices(context, group, "produce") or group.places


def consumers(context: Context, group: Group) -> tuple[Place, ...]:
    """The weight matrices and filters that contract over the group's channels."""
    return _matrices(context, group, "consume")


def ranked(scores: NDArray[np.float64]) -> Ranking:
    """The ranking of channels whose losses add up: lowest first, ties by index."""
    order = np.argsort(scores, kind="stable")
    return Ranking(order, np.concatenate([[0.0], np.cumsum(scores[order])]))


def relative(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores divided by their mean, so that groups compare; unchanged where the mean is zero."""
    mean = float(scores.mean())
    return scores / mean if mean > 0 else scores


def _matrices(context: Context, group: Group, role: str) -> tuple[Place, ...]:
    def wanted() -> Iterator[Place]:
        for place in group.places:
            weight = context.weights[place.weight]
            if place.role == role and weight.ndim > 1 and weight.is_floating_point():
                yield place

    return tuple(wanted())
