"""Scores: what every channel of every group is worth, as rankings that allocation can compare."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from prunec.ir.plan import Ranking
from prunec.passes.score import blocks, magnitude, obs, random_, taylor, torch_pruning_
from prunec.passes.score.context import Context as Context
from prunec.spec import L1, L2, Obs, Random, Score, Taylor, TorchPruning


def run(method: Score, context: Context) -> dict[str, Ranking]:
    """The ranking of every group of the context, by group name."""
    channels = tuple(g for g in context.groups if not g.branches)
    whole = tuple(g for g in context.groups if g.branches)
    found = _channels(method, replace(context, groups=channels)) if channels else {}
    return found | (blocks.run(method, replace(context, groups=whole)) if whole else {})


def _channels(method: Score, context: Context) -> dict[str, Ranking]:
    match method:
        case Random(seed=seed):
            return random_.run(context, seed)
        case L1():
            return magnitude.run(context, power=1)
        case L2():
            return magnitude.run(context, power=2)
        case Taylor(batches=count):
            return taylor.run(replace(context, batches=context.batches[:count]))
        case Obs(damping=damping, batches=count):
            return obs.run(replace(context, batches=context.batches[:count]), damping)
        case TorchPruning(importance=importance):
            return torch_pruning_.run(context, importance)
        case _:
            assert_never(method)
