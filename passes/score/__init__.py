"""Scores: how much each channel of each group is worth, as rankings that compare across groups."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from prunec.ir.plan import Ranking
from prunec.passes.score import magnitude, obs, random_, taylor, torch_pruning_
from prunec.passes.score.context import Context as Context
from prunec.spec import L1, L2, Obs, Random, Score, Taylor, TorchPruning


def run(method: Score, context: Context) -> dict[str, Ranking]:
    """Group name -> ranking, by the method that a spec names."""
    match method:
        case Random():
            return random_.run(context, method.seed)
        case L1():
            return magnitude.run(context, 1)
        case L2():
            return magnitude.run(context, 2)
        case Taylor():
            return taylor.run(context, method.batches)
        case Obs():
            some = replace(context, batches=context.batches[: method.batches])
            return obs.run(some, method.damping)
        case TorchPruning():
            return torch_pruning_.run(context, method.importance)
    assert_never(method)
