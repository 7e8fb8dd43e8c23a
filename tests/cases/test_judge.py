"""The judge of other tools says equal of what is proved, and wrong of its neighbour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import prunec
from tests.cases import judge, ours, peer
from tests.cases.judge import Kept, Smaller
from tests.cases.models import CASES

NAMES = (
    "roll over channels",
    "group norm between convolutions",
    "weight standardisation",
    "embedding tied to the head",
    "grouped queries, repeated by expand",
    "outputs in a dataclass",
)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proved_is_equal_and_one_channel_more_is_wrong(name: str) -> None:
    case = CASES[name]
    made = prunec.compile(
        ours.SPEC, model=case.module(), args=case.args, kwargs=case.kwargs, check=False
    )
    kept = _kept(case.module(), made.removed.weights)
    assert judge.verdict(case, Smaller(made.module, kept)) == "equal"
    with torch.no_grad():
        weight = next(w for w in made.module.parameters() if w.dim() > 1)
        weight[..., 0] += 1
    assert judge.verdict(case, Smaller(made.module, kept)) == "wrong"


def test_what_the_library_is_known_for() -> None:
    assert peer.run(CASES["squeeze and excitation"]).outcome == "equal"
    assert peer.run(CASES["roll over channels"]).outcome == "wrong"
    assert peer.run(CASES["nn.MultiheadAttention"]).outcome == "nothing pruned"
    assert peer.run(CASES["LSTM, linear"]).outcome == "crash: IndexError"


def _kept(module: nn.Module, removed: Mapping[str, Any]) -> Kept:
    """What stays of every tensor, for every name that it has."""
    state = module.state_dict(keep_vars=True)
    names = {id(tensor): name for name, tensor in reversed(state.items())}
    return {
        name: tuple(
            np.ones(size, dtype=bool) if stays is None else stays
            for size, stays in zip(
                tensor.shape,
                removed.get(names[id(tensor)]) or (None,) * tensor.dim(),
                strict=True,
            )
        )
        for name, tensor in state.items()
    }
